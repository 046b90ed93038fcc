/*
 * What a Kafka that asks who is there answers to wrong settings, and what the user is told: one
 * line, with the remedy. (WEIR_TEST_KAFKA_SECURE: see kafka-secure in tests/support/services.)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <librdkafka/rdkafka.h>
#include <unistd.h>

#include "unit/kafka/member.h"

enum { VERSION_SCRAM_FIXED = 0x020601ff };

static void use(struct world *world, const char *mechanism, const char *password)
{
    world->options.bootstrap_servers = getenv("WEIR_TEST_KAFKA_SECURE");
    world->options.property_count = 0;
    world_set_property(world, KAFKA_EVERY, "security.protocol", "sasl_plaintext");
    world_set_property(world, KAFKA_EVERY, "sasl.mechanisms", mechanism);
    world_set_property(world, KAFKA_EVERY, "sasl.username", "weir");
    world->options.sasl_password = password;
}

/* A group and transactional ids of its own for every test, and no right to anything. Whether a
 * topic is there, who has no right to it is not told. */
static void secure_world_open(struct world *world)
{
    static int number;

    if (getenv("WEIR_TEST_KAFKA_SECURE") == NULL) {
        print_message("skipped: WEIR_TEST_KAFKA_SECURE not set\n");
        skip();
    }
    world_prepare(world);
    world->options.topics.prefix =
        arena_print(world->arena, "secure-%ld-%d-", (long)getpid(), ++number);
    world->options.group_id = arena_print(world->arena, "%sgroup", world->options.topics.prefix);
    world->options.transactional_id_prefix = world->options.topics.prefix;
    use(world, "PLAIN", "secret");
}

static void secure_world_close(struct world *world)
{
    arena_destroy(world->arena);
}

static enum status open_processor(struct world *world, bool is_transactional,
                                  struct transport *transport, struct failure *failure)
{
    const struct kafka_setup setup = {
        .options = &world->options,
        .role = KAFKA_PROCESSOR,
        .is_transactional = is_transactional,
        .name = "one",
        .wait_ms = PATIENCE_MS,
    };

    return kafka_open(&setup, transport, failure);
}

static void assert_refused(struct world *world, const char *words)
{
    struct transport transport;
    struct failure failure = {0};

    assert_int_equal(open_processor(world, true, &transport, &failure), STATUS_BROKEN);
    if (failure.remedy != REMEDY_STOP || strstr(failure.text, words) == NULL)
        fail_msg("expected \"%s\" in \"%s\"", words, failure.text);
    assert_null(strchr(failure.text, '\n'));
}

static void test_login_refused(void **state)
{
    struct world world;

    (void)state;
    secure_world_open(&world);
    use(&world, "PLAIN", "guessed");
    assert_refused(&world, "login refused; check kafka.security.protocol, sasl.*");
    use(&world, "OAUTHBEARER", "secret");
    world_set_property(&world, KAFKA_EVERY, "enable.sasl.oauthbearer.unsecure.jwt", "true");
    world_set_property(&world, KAFKA_EVERY, "sasl.oauthbearer.config", "principal=weir");
    assert_refused(&world, "mechanism");
    secure_world_close(&world);
}

/* Kafka 4 and the oldest librdkafka cannot agree on SCRAM, with any password. */
static void test_scram_tells_of_an_old_library(void **state)
{
    struct world world;
    struct transport transport;
    struct failure failure = {0};

    (void)state;
    secure_world_open(&world);
    use(&world, "SCRAM-SHA-256", "secret");
    if (rd_kafka_version() < VERSION_SCRAM_FIXED) {
        assert_refused(&world, "cannot log in with SCRAM even with the right password (fixed in "
                               "2.6.1): use PLAIN over TLS");
    } else {
        if (open_processor(&world, false, &transport, &failure) != STATUS_OK)
            fail_msg("%s", failure.text);
        transport.door->close(transport.context);
        use(&world, "SCRAM-SHA-256", "guessed");
        assert_refused(&world, "login refused; check kafka.security.protocol, sasl.*");
    }
    secure_world_close(&world);
}

/* Each right that is missing is named, with what it must begin with. */
static void test_missing_rights_are_named(void **state)
{
    static const enum topic topics[] = {TOPIC_ORDERS, TOPIC_AUTH_EVENTS};
    const struct transport_listener listener = {0};
    struct world world;
    struct transport transport;
    struct failure failure = {0};
    struct record records[BATCH_MAX];
    enum status status = STATUS_OK;
    uint32_t count;

    (void)state;
    secure_world_open(&world);
    assert_refused(&world, arena_print(world.arena,
                                       "no right to the transactional id; grant Write and Describe "
                                       "on transactional ids that begin with '%s'",
                                       world.options.transactional_id_prefix));
    if (open_processor(&world, false, &transport, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    const struct transport_door *door = transport.door;
    assert_int_equal(door->subscribe(transport.context, topics, 2, &listener, &failure),
                     STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "no right to the topic; grant Read on the inputs"));
    UNTIL(status != STATUS_OK,
          status = door->poll(transport.context, records, BATCH_MAX, 100, &count, &failure));
    assert_int_equal(status, STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(failure.text, "no right to the group; grant Read on groups that begin"));
    door->close(transport.context);
    secure_world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_login_refused),
        cmocka_unit_test(test_scram_tells_of_an_old_library),
        cmocka_unit_test(test_missing_rights_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
