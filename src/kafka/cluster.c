/*
 * Brokers of two clusters in one list: a client that has talked to one takes the other's topics
 * and positions for its own. The library notices when it happens to talk to both, and only says
 * so in its log; here each server is asked alone, before anything else.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/client.h"
#include "kafka/kafka.h"

enum { ANSWER_WAIT_MS = 3000, ID_MAX = KAFKA_CLUSTER_MAX, SERVER_MAX = 256 };

/* `servers`: NULL for those of the configuration. "" when none answers. */
static void ask_cluster(const struct kafka_options *options, const char *servers, char id[ID_MAX])
{
    rd_kafka_conf_t *conf = client_configure(options, CLIENT_ADMIN, NULL);
    char error[128];

    id[0] = '\0';
    if (servers != NULL)
        client_set(conf, "bootstrap.servers", servers);
    client_set(conf, "log_level", "0");
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (handle == NULL) {
        rd_kafka_conf_destroy(conf);
        return;
    }
    char *found = rd_kafka_clusterid(handle, ANSWER_WAIT_MS);
    if (found != NULL) {
        snprintf(id, ID_MAX, "%s", found);
        rd_kafka_mem_free(handle, found);
    }
    rd_kafka_destroy(handle);
}

void kafka_find_cluster(const struct kafka_options *options, char id[KAFKA_CLUSTER_MAX])
{
    ask_cluster(options, NULL, id);
}

enum status kafka_check_cluster(const struct kafka_options *options, struct failure *failure)
{
    char first_id[ID_MAX] = "", first_server[SERVER_MAX] = "", id[ID_MAX], server[SERVER_MAX];
    const char *at = options->bootstrap_servers;

    if (strchr(at, ',') == NULL)
        return STATUS_OK;
    while (*at != '\0') {
        size_t size = strcspn(at, ",");
        snprintf(server, sizeof server, "%.*s", (int)size, at);
        at += size + (at[size] == ',');
        ask_cluster(options, server, id);
        if (id[0] == '\0')
            continue;
        if (first_id[0] != '\0' && strcmp(first_id, id) != 0)
            return failure_set(failure, REMEDY_STOP,
                               "kafka.bootstrap.servers: %s is of cluster %s, %s of cluster %s; "
                               "name the brokers of one cluster",
                               first_server, first_id, server, id);
        memcpy(first_id, id, sizeof id);
        memcpy(first_server, server, sizeof server);
    }
    return STATUS_OK;
}
