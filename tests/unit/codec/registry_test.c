/* The registry over real sockets: a stand-in on localhost that answers as it is told. */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json_writer.h"
#include "codec/codec.h"
#include "codec/registry.h"
#include "codec/schema_text.h"

/* ---- the stand-in -------------------------------------------------------------- */

enum mood { MOOD_ANSWER, MOOD_BROKEN, MOOD_GARBAGE, MOOD_HANG, MOOD_HANG_UP };

struct stand_in {
    int listener;
    int wake[2]; /* written to at the end */
    pthread_t thread;
    pthread_mutex_t lock;
    enum mood mood;
    uint32_t requests;
    char last[65536]; /* the last request as it came */
    char url[64];
};

static const char *schema_named(const char *name)
{
    for (const struct schema_text *text = schema_texts; text->name != NULL; text++)
        if (strcmp(text->name, name) == 0)
            return text->text;
    return NULL;
}

static void put_schema(struct byte_writer *out, const char *schema, const char *more)
{
    struct byte_writer text;
    struct json_writer json = json_writer_on(&text);

    byte_writer_init(&text);
    json_text(&json, schema);
    byte_print(out, "{\"schema\":%.*s%s}", VIEW_PRINT(byte_writer_view(&text)), more);
    byte_writer_free(&text);
}

/* Ids: 1 our api_call; 2 has references; 3 protobuf; 4 no Avro; 5 an Avro schema that does not
 * fit; others unknown. Registering gives 77, but subjects that begin "refused." are refused, and
 * for those that begin "vast." the id is none of 32 bits. */
static int answer(const char *request, struct byte_writer *body)
{
    static const char plain[] = "{\"type\":\"record\",\"name\":\"X\",\"fields\":[]}";

    if (strncmp(request, "POST ", 5) == 0) {
        if (strstr(request, "/refused.") != NULL) {
            byte_print(body, "{\"error_code\":409,\"message\":\"incompatible\"}");
            return 409;
        }
        byte_print(body, strstr(request, "/vast.") != NULL ? "{\"id\":4294967373}" : "{\"id\":77}");
        return 200;
    }
    if (strncmp(request, "GET /schemas/ids/1 ", 19) == 0)
        put_schema(body, schema_named("api_call"), "");
    else if (strncmp(request, "GET /schemas/ids/2 ", 19) == 0)
        put_schema(body, plain,
                   ",\"references\":[{\"name\":\"a\",\"subject\":\"b\",\"version\":1}]");
    else if (strncmp(request, "GET /schemas/ids/3 ", 19) == 0)
        put_schema(body, "message M {}", ",\"schemaType\":\"PROTOBUF\"");
    else if (strncmp(request, "GET /schemas/ids/4 ", 19) == 0)
        put_schema(body, "{\"type\":\"nonsense\"}", "");
    else if (strncmp(request, "GET /schemas/ids/5 ", 19) == 0)
        put_schema(body, plain, "");
    else {
        byte_print(body, "{\"error_code\":40403,\"message\":\"Schema not found\"}");
        return 404;
    }
    return 200;
}

/* The whole request: its head, and as much body as it announces. */
static void read_request(int socket, char *request, size_t bytes)
{
    size_t used = 0;

    for (;;) {
        const ssize_t got = read(socket, request + used, bytes - 1 - used);
        if (got <= 0)
            break;
        used += (size_t)got;
        request[used] = '\0';
        const char *head_end = strstr(request, "\r\n\r\n");
        const char *length = strcasestr(request, "\r\nContent-Length:");
        if (head_end != NULL && used >= (size_t)(head_end + 4 - request) +
                                            (length != NULL ? strtoul(length + 17, NULL, 10) : 0))
            break;
    }
    request[used] = '\0';
}

static void serve(struct stand_in *stand_in, int socket)
{
    struct byte_writer body, reply;
    enum mood mood;

    byte_writer_init(&body);
    byte_writer_init(&reply);
    pthread_mutex_lock(&stand_in->lock);
    mood = stand_in->mood;
    stand_in->requests++;
    if (mood != MOOD_HANG_UP)
        read_request(socket, stand_in->last, sizeof stand_in->last);
    int http_status = answer(stand_in->last, &body);
    pthread_mutex_unlock(&stand_in->lock);

    if (mood == MOOD_BROKEN)
        http_status = 503;
    if (mood == MOOD_GARBAGE) {
        byte_writer_reset(&body);
        byte_print(&body, "<html>It works!</html>");
        http_status = 200;
    }
    byte_print(&reply, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
               http_status, body.size);
    byte_put(&reply, body.data, body.size);
    /* One that hangs: until the other side has had enough. */
    struct pollfd wait[2] = {{stand_in->wake[0], POLLIN, 0}, {socket, POLLIN, 0}};
    if (mood == MOOD_HANG)
        poll(wait, 2, 10000);
    else if (mood != MOOD_HANG_UP)
        assert(write(socket, reply.data, reply.size) == (ssize_t)reply.size);
    close(socket);
    byte_writer_free(&body);
    byte_writer_free(&reply);
}

static void *run_stand_in(void *context)
{
    struct stand_in *stand_in = context;

    for (;;) {
        struct pollfd wait[2] = {{stand_in->wake[0], POLLIN, 0}, {stand_in->listener, POLLIN, 0}};
        poll(wait, 2, -1);
        if (wait[0].revents != 0)
            return NULL;
        const int socket = accept(stand_in->listener, NULL, NULL);
        if (socket >= 0)
            serve(stand_in, socket);
    }
}

static void set_mood(struct stand_in *stand_in, enum mood mood)
{
    pthread_mutex_lock(&stand_in->lock);
    stand_in->mood = mood;
    pthread_mutex_unlock(&stand_in->lock);
}

static uint32_t requests_of(struct stand_in *stand_in)
{
    pthread_mutex_lock(&stand_in->lock);
    const uint32_t requests = stand_in->requests;
    pthread_mutex_unlock(&stand_in->lock);
    return requests;
}

/* ---- the world ----------------------------------------------------------------- */

struct world {
    struct stand_in stand_in;
    struct clock clock;
    int64_t now_ms;
    struct codec_options options;
    struct codec *codec;
    struct arena *arena;
    struct event event;
    struct codec_reason reason;
    struct failure failure;
};

static int64_t tell_ms(void *context)
{
    return ((struct world *)context)->now_ms;
}

static int64_t tell_ns(void *context)
{
    return ((struct world *)context)->now_ms * 1000000;
}

static void start_stand_in(struct stand_in *stand_in)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;

    pthread_mutex_init(&stand_in->lock, NULL);
    stand_in->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(stand_in->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(stand_in->listener, 16), 0);
    assert_int_equal(getsockname(stand_in->listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pipe(stand_in->wake), 0);
    snprintf(stand_in->url, sizeof stand_in->url, "http://127.0.0.1:%u/", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&stand_in->thread, NULL, run_stand_in, stand_in), 0);
}

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    start_stand_in(&world->stand_in);
    world->options = (struct codec_options){
        .output = CODEC_AVRO_REGISTRY,
        .registry_url = world->stand_in.url,
        .registry_user = "user",
        .registry_password = "pass",
        .registry_timeout_ms = 1500,
    };
    world->arena = arena_create(65536);
    world->clock = (struct clock){tell_ms, tell_ns, world};
    world->now_ms = 1000000;
    if (codec_create(&world->options, &world->codec, &world->failure) != STATUS_OK)
        fail_msg("%s", world->failure.text);
    codec_set_clock(world->codec, &world->clock);
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;

    codec_destroy(world->codec);
    assert_int_equal(write(world->stand_in.wake[1], "x", 1), 1);
    pthread_join(world->stand_in.thread, NULL);
    close(world->stand_in.listener);
    close(world->stand_in.wake[0]);
    close(world->stand_in.wake[1]);
    pthread_mutex_destroy(&world->stand_in.lock);
    arena_destroy(world->arena);
    free(world);
    return 0;
}

static enum status decode(struct world *world, uint8_t id)
{
    char message[] = "\x00\x00\x00\x00\x00\x02"
                     "e\x02t\x02"
                     "c\x06GET\x02/\x90\x03\x0A\x00\x00\x00";

    message[4] = (char)id;
    return codec_decode_event(world->codec, EVENT_API_CALL,
                              (struct view){message, sizeof message - 1}, world->arena,
                              &world->event, &world->reason, &world->failure);
}

/* ---- tests --------------------------------------------------------------------- */

static void test_an_id_is_asked_for_once(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < 3; i++)
        assert_int_equal(decode(world, 1), STATUS_OK);
    assert_int_equal(world->event.api_call.status, 200);
    assert_int_equal(requests_of(&world->stand_in), 1);
    assert_non_null(strstr(world->stand_in.last, "Authorization: Basic dXNlcjpwYXNz\r\n"));
}

static void test_codecs_of_one_address_share(void **state)
{
    struct world *world = *state;
    const struct codec_options options = {
        .registry_url = world->stand_in.url, .registry_user = "user", .registry_password = "pass"};
    struct codec *first = world->codec;

    assert_int_equal(decode(world, 1), STATUS_OK);
    assert_int_equal(codec_create(&options, &world->codec, &world->failure), STATUS_OK);
    assert_int_equal(decode(world, 1), STATUS_OK);
    assert_int_equal(requests_of(&world->stand_in), 1);
    codec_destroy(first);
    assert_int_equal(decode(world, 1), STATUS_OK);
}

static void test_an_unknown_id_is_set_aside(void **state)
{
    struct world *world = *state;

    assert_int_equal(decode(world, 9), STATUS_BROKEN);
    assert_int_equal(world->failure.remedy, REMEDY_SET_ASIDE);
    assert_int_equal(world->reason.error, CODEC_ERROR_SCHEMA_UNKNOWN);
    assert_int_equal(decode(world, 9), STATUS_BROKEN);
    assert_int_equal(requests_of(&world->stand_in), 1);
    /* It is believed for a while only: the schema may be registered any moment. */
    world->now_ms += REGISTRY_UNKNOWN_MS;
    assert_int_equal(decode(world, 9), STATUS_BROKEN);
    assert_int_equal(requests_of(&world->stand_in), 2);
}

static void test_unusable_schemas_are_set_aside(void **state)
{
    static const char *const texts[] = {"references", "AVRO", "schema", "required"};
    struct world *world = *state;

    for (uint8_t id = 2; id <= 5; id++) {
        for (int times = 0; times < 2; times++) {
            assert_int_equal(decode(world, id), STATUS_BROKEN);
            assert_int_equal(world->failure.remedy, REMEDY_SET_ASIDE);
            assert_int_equal(world->reason.error, CODEC_ERROR_SCHEMA);
            assert_non_null(strstr(world->reason.text, texts[id - 2]));
        }
        assert_int_equal(requests_of(&world->stand_in), id - 1);
    }
}

/* A registry in trouble: the message waits, and the registry is left in peace for longer and
 * longer; when it is back, all goes on. */
static void check_trouble(struct world *world, enum mood mood, const char *text)
{
    int64_t pause_ms = REGISTRY_PAUSE_MIN_MS;

    set_mood(&world->stand_in, mood);
    for (uint32_t asked = 1; asked <= 3; asked++) {
        assert_int_equal(decode(world, 1), STATUS_BROKEN);
        assert_int_equal(world->failure.remedy, REMEDY_RETRY);
        assert_non_null(strstr(world->failure.text, text));
        assert_int_equal(requests_of(&world->stand_in), asked);
        world->now_ms += pause_ms - 1;
        assert_int_equal(decode(world, 1), STATUS_BROKEN);
        assert_int_equal(world->failure.remedy, REMEDY_RETRY);
        assert_int_equal(requests_of(&world->stand_in), asked);
        world->now_ms += 1;
        pause_ms *= 2;
    }
    set_mood(&world->stand_in, MOOD_ANSWER);
    assert_int_equal(decode(world, 1), STATUS_OK);
    assert_int_equal(requests_of(&world->stand_in), 4);
}

static void test_a_broken_registry_is_left_alone(void **state)
{
    check_trouble(*state, MOOD_BROKEN, "HTTP 503");
}

static void test_garbage_is_no_answer(void **state)
{
    check_trouble(*state, MOOD_GARBAGE, "HTTP 200 with an answer");
}

static void test_a_hanging_registry_times_out(void **state)
{
    check_trouble(*state, MOOD_HANG, "schema registry http://127.0.0.1:");
}

static void test_a_registry_that_hangs_up(void **state)
{
    check_trouble(*state, MOOD_HANG_UP, "schema registry http://127.0.0.1:");
}

static void test_known_schemas_need_no_registry(void **state)
{
    struct world *world = *state;

    assert_int_equal(decode(world, 1), STATUS_OK);
    set_mood(&world->stand_in, MOOD_BROKEN);
    assert_int_equal(decode(world, 9), STATUS_BROKEN);
    assert_int_equal(world->failure.remedy, REMEDY_RETRY);
    assert_int_equal(decode(world, 1), STATUS_OK);
}

static struct result make_result(void)
{
    struct result result = {.kind = RESULT_COMMAND_RESULT, .id = VIEW_LITERAL("c")};

    result.command_result.status = COMMAND_ACCEPTED;
    result_mark(&result, NULL);
    return result;
}

static void open_with_prefix(struct world *world, const char *prefix)
{
    world->options.topic_prefix = prefix;
    codec_destroy(world->codec);
    assert_int_equal(codec_create(&world->options, &world->codec, &world->failure), STATUS_OK);
    codec_set_clock(world->codec, &world->clock);
}

static void test_our_schema_is_registered_once(void **state)
{
    struct world *world = *state;
    const struct result result = make_result();
    struct byte_writer out;

    byte_writer_init(&out);
    open_with_prefix(world, "eu/shop.");
    for (int i = 0; i < 2; i++) {
        byte_writer_reset(&out);
        assert_int_equal(codec_encode_result(world->codec, &result, &out, &world->failure),
                         STATUS_OK);
        assert_memory_equal(out.data,
                            "\x00\x00\x00\x00\x4D\x02"
                            "c",
                            7);
    }
    assert_int_equal(requests_of(&world->stand_in), 1);
    assert_non_null(strstr(world->stand_in.last,
                           "POST /subjects/eu%2Fshop.command-results-value/versions HTTP/1.1\r\n"));
    assert_non_null(
        strstr(world->stand_in.last, "{\"schema\":\"{\\n  \\\"type\\\": \\\"record\\\""));
    byte_writer_free(&out);
}

static void test_encoding_waits_for_the_registry(void **state)
{
    struct world *world = *state;
    const struct result result = make_result();
    struct byte_writer out;

    byte_writer_init(&out);
    set_mood(&world->stand_in, MOOD_BROKEN);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(codec_encode_result(world->codec, &result, &out, &world->failure),
                         STATUS_BROKEN);
        assert_int_equal(world->failure.remedy, REMEDY_RETRY);
        assert_int_equal(out.size, 0);
    }
    assert_int_equal(requests_of(&world->stand_in), 1);
    world->now_ms += REGISTRY_PAUSE_MIN_MS;
    set_mood(&world->stand_in, MOOD_ANSWER);
    assert_int_equal(codec_encode_result(world->codec, &result, &out, &world->failure), STATUS_OK);
    byte_writer_free(&out);
}

static void test_a_refused_schema_stops(void **state)
{
    struct world *world = *state;
    const struct result result = make_result();
    struct byte_writer out;

    byte_writer_init(&out);
    open_with_prefix(world, "refused.");
    assert_int_equal(codec_encode_result(world->codec, &result, &out, &world->failure),
                     STATUS_BROKEN);
    assert_int_equal(world->failure.remedy, REMEDY_STOP);
    assert_non_null(strstr(world->failure.text, "incompatible"));
    byte_writer_free(&out);
}

static void test_an_id_beyond_32_bits_is_no_answer(void **state)
{
    struct world *world = *state;
    const struct result result = make_result();
    struct byte_writer out;

    byte_writer_init(&out);
    open_with_prefix(world, "vast.");
    assert_int_equal(codec_encode_result(world->codec, &result, &out, &world->failure),
                     STATUS_BROKEN);
    assert_int_equal(world->failure.remedy, REMEDY_RETRY);
    assert_non_null(strstr(world->failure.text, "no answer of a registry"));
    byte_writer_free(&out);
}

static void test_without_a_registry(void **state)
{
    struct world *world = *state;
    struct codec_options options = {.output = CODEC_JSON};
    struct codec *first = world->codec;

    assert_int_equal(codec_create(&options, &world->codec, &world->failure), STATUS_OK);
    codec_destroy(first);
    assert_int_equal(decode(world, 1), STATUS_BROKEN);
    assert_int_equal(world->failure.remedy, REMEDY_SET_ASIDE);
    assert_int_equal(world->reason.error, CODEC_ERROR_SCHEMA_UNKNOWN);
    options.output = CODEC_AVRO_REGISTRY;
    assert_int_equal(codec_create(&options, &first, &world->failure), STATUS_BROKEN);
    options.registry_url = "localhost:8081";
    assert_int_equal(codec_create(&options, &first, &world->failure), STATUS_BROKEN);
    assert_int_equal(world->failure.remedy, REMEDY_STOP);
}

/* ---- threads ------------------------------------------------------------------- */

struct crowd {
    const char *url;
    uint32_t good;
};

static void *decode_many(void *context)
{
    struct crowd *crowd = context;
    const struct codec_options options = {.registry_url = crowd->url};
    struct world world = {.arena = arena_create(4096)};

    if (codec_create(&options, &world.codec, &world.failure) == STATUS_OK) {
        for (int i = 0; i < 50; i++)
            crowd->good += decode(&world, 1) == STATUS_OK;
        codec_destroy(world.codec);
    }
    arena_destroy(world.arena);
    return NULL;
}

static void test_many_workers_ask_once(void **state)
{
    struct world *world = *state;
    const struct codec_options options = {.registry_url = world->stand_in.url};
    struct crowd crowds[8];
    pthread_t threads[8];
    struct codec *holder; /* keeps the registry from going with the first worker */

    assert_int_equal(codec_create(&options, &holder, &world->failure), STATUS_OK);
    for (int i = 0; i < 8; i++) {
        crowds[i] = (struct crowd){world->stand_in.url, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, decode_many, &crowds[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(crowds[i].good, 50);
    }
    assert_int_equal(requests_of(&world->stand_in), 1);
    codec_destroy(holder);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_id_is_asked_for_once),
        TEST(test_codecs_of_one_address_share),
        TEST(test_an_unknown_id_is_set_aside),
        TEST(test_unusable_schemas_are_set_aside),
        TEST(test_a_broken_registry_is_left_alone),
        TEST(test_garbage_is_no_answer),
        TEST(test_a_hanging_registry_times_out),
        TEST(test_a_registry_that_hangs_up),
        TEST(test_known_schemas_need_no_registry),
        TEST(test_our_schema_is_registered_once),
        TEST(test_encoding_waits_for_the_registry),
        TEST(test_a_refused_schema_stops),
        TEST(test_an_id_beyond_32_bits_is_no_answer),
        TEST(test_without_a_registry),
        TEST(test_many_workers_ask_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
