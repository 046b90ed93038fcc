#include "kafka/broker.h"

#include <arpa/inet.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kafka/client.h"
#include "kafka/topics.h"

enum { ERRORS_MAX = 64 };

struct broker {
    struct client client; /* the library hangs the cluster on one */
    struct kafka_options options;
    rd_kafka_mock_cluster_t *cluster;
    const char *address;
};

static const char *const limits[] = {
    "keeps records in memory only, at most 5 MiB a partition: older ones vanish without a word",
    "no transactions: aborted records can be read, positions sent with them are not kept",
    "no fencing of a predecessor, no static membership",
    "no compaction, no topic administration, no login, no encryption",
    "the first member of a group waits about 3 s for its partitions, a rebalance as long",
    NULL,
};

const char *const *broker_limits(void)
{
    return limits;
}

/*
 * The mock cluster leaves Nagle on, which costs more than 40 ms a step (21 instead of 435
 * transactions a second). On Linux a connection inherits TCP_NODELAY from the socket that
 * it was accepted on, so it is enough to find that one among our files.
 */
static void disable_nagle(const char *address)
{
    const char *colon = strrchr(address, ':');
    long port = colon != NULL ? strtol(colon + 1, NULL, 10) : 0;
    long file_max = sysconf(_SC_OPEN_MAX);

    if (file_max < 0 || file_max > 65536)
        file_max = 65536;
    for (int file = 0; file < file_max; file++) {
        struct sockaddr_in name = {0};
        socklen_t size = sizeof name;
        int is_listening = 0, yes = 1;
        socklen_t flag_size = sizeof is_listening;
        if (getsockopt(file, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &flag_size) == 0 &&
            is_listening && getsockname(file, (struct sockaddr *)&name, &size) == 0 &&
            name.sin_family == AF_INET && ntohs(name.sin_port) == port)
            setsockopt(file, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
}

static enum status create_topics(struct broker *broker, struct failure *failure)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        const char *name = broker->client.names[topic];
        int32_t partitions = topics_partitions(&broker->options, (enum topic)topic);
        rd_kafka_resp_err_t code =
            rd_kafka_mock_topic_create(broker->cluster, name, (int)partitions, 1);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return failure_set(failure, REMEDY_STOP, "embedded broker: topic %s: %s", name,
                               rd_kafka_err2str(code));
    }
    return STATUS_OK;
}

enum status broker_start(const struct kafka_options *options, struct broker **out,
                         struct failure *failure)
{
    struct broker *broker = calloc(1, sizeof *broker);
    enum status status;

    if (broker == NULL)
        abort();
    /* Nothing of the user's: this client only carries the cluster. */
    broker->options.client_id = "weir";
    broker->options.topics = options->topics;
    rd_kafka_conf_t *conf = client_configure(&broker->options, CLIENT_ADMIN, NULL);
    status =
        client_open(&broker->client, &broker->options, CLIENT_ADMIN, conf, "broker", NULL, failure);
    if (status == STATUS_OK)
        broker->cluster = rd_kafka_mock_cluster_new(broker->client.handle, 1);
    if (status == STATUS_OK && broker->cluster == NULL)
        status = failure_set(failure, REMEDY_STOP, "embedded broker: cannot listen on 127.0.0.1");
    if (status == STATUS_OK) {
        broker->address = rd_kafka_mock_cluster_bootstraps(broker->cluster);
        disable_nagle(broker->address);
        status = create_topics(broker, failure);
    }
    if (status != STATUS_OK) {
        broker_stop(broker);
        return status;
    }
    *out = broker;
    return STATUS_OK;
}

const char *broker_address(const struct broker *broker)
{
    return broker->address;
}

void broker_stop(struct broker *broker)
{
    if (broker == NULL)
        return;
    if (broker->cluster != NULL)
        rd_kafka_mock_cluster_destroy(broker->cluster);
    client_close(&broker->client);
    free(broker);
}

void broker_fail_requests(struct broker *broker, int16_t request, int code, uint32_t count)
{
    rd_kafka_resp_err_t errors[ERRORS_MAX];

    if (count > ERRORS_MAX)
        count = ERRORS_MAX;
    for (uint32_t index = 0; index < count; index++)
        errors[index] = (rd_kafka_resp_err_t)code;
    rd_kafka_mock_push_request_errors_array(broker->cluster, request, count, errors);
}

void broker_set_away(struct broker *broker, bool is_away)
{
    if (is_away)
        rd_kafka_mock_broker_set_down(broker->cluster, -1);
    else
        rd_kafka_mock_broker_set_up(broker->cluster, -1);
}
