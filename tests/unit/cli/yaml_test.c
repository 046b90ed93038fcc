/* yaml_test.c - texts to trees, and every refusal with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "cli/yaml.h"

struct sheet {
    struct arena *arena;
    struct complaints complaints;
    struct tree *root;
    enum status status;
};

static struct sheet read_text(const char *text)
{
    struct sheet sheet = {.arena = arena_create(4096)};

    complaints_init(&sheet.complaints, sheet.arena);
    sheet.status =
        yaml_parse_text(view_of(text), "f.yaml", sheet.arena, &sheet.root, &sheet.complaints);
    assert_int_equal(sheet.status, sheet.complaints.count == 0 ? STATUS_OK : STATUS_BROKEN);
    return sheet;
}

/* Every complaint, a line each. */
static const char *complaints_text(const struct sheet *sheet)
{
    const char *text = "";

    for (const struct complaint *complaint = sheet->complaints.first; complaint != NULL;
         complaint = complaint->next)
        text = arena_print(sheet->arena, "%s%s\n", text, complaint->text);
    return text;
}

static void expect_complaints(const char *text, const char *expected)
{
    struct sheet sheet = read_text(text);

    assert_string_equal(complaints_text(&sheet), expected);
    arena_destroy(sheet.arena);
}

/* One line a tree: {a: 1, b: ["x", null]} with :LINE behind every scalar. */
static void print_tree(const struct tree *tree, struct byte_writer *out)
{
    if (tree->kind == TREE_NULL)
        byte_print(out, "null");
    if (tree->kind == TREE_SCALAR)
        byte_print(out, tree->is_quoted ? "\"%.*s\"" : "%.*s", VIEW_PRINT(tree->value));
    if (tree->kind == TREE_LIST || tree->kind == TREE_MAP) {
        byte_print(out, tree->kind == TREE_LIST ? "[" : "{");
        for (const struct tree *child = tree->child; child != NULL; child = child->next) {
            if (tree->kind == TREE_MAP)
                byte_print(out, "%.*s=", VIEW_PRINT(child->name));
            print_tree(child, out);
            byte_print(out, child->next != NULL ? " " : "");
        }
        byte_print(out, tree->kind == TREE_LIST ? "]" : "}");
    }
    byte_print(out, ":%u", tree->line);
}

static void expect_tree(const char *text, const char *expected)
{
    struct sheet sheet = read_text(text);
    struct byte_writer out;

    assert_string_equal(complaints_text(&sheet), "");
    assert_non_null(sheet.root);
    byte_writer_init(&out);
    print_tree(sheet.root, &out);
    byte_put_u8(&out, 0);
    assert_string_equal(out.data, expected);
    byte_writer_free(&out);
    arena_destroy(sheet.arena);
}

static void test_documents(void **state)
{
    (void)state;
    expect_tree("", "null:1");
    expect_tree("# only a comment\n", "null:1");
    expect_tree("a: 1\nb:\n  c: x\n  d: [1, 'two', ~]\n",
                "{a=1:1 b={c=x:3 d=[1:4 \"two\":4 null:4]:4}:2}:1");
    expect_tree("- a\n- \n- \"\"\n", "[a:1 null:2 \"\":3]:1");
    expect_tree("text: |\n  one\n  two\n", "{text=\"one\ntwo\n\":1}:1");
    expect_tree("---\na: b\n...\n", "{a=b:2}:2");
    expect_tree("\xEF\xBB\xBF"
                "a: b\n",
                "{a=b:1}:1");
    expect_tree("a.b.c: null\n'd': \"null\"\n", "{a.b.c=null:1 d=\"null\":2}:1");
    expect_tree("null: 1\n", "{null=1:1}:1");
}

static void test_refusals(void **state)
{
    (void)state;
    expect_complaints("a: 1\nb: 2\na: 3\nb: 4\n",
                      "f.yaml:3: a: given twice\nf.yaml:4: b: given twice\n");
    expect_complaints("x:\n  a: 1\ny:\n  a: 1\n  a: 2\n", "f.yaml:5: a: given twice\n");
    expect_complaints("a: &anchor 1\nb: *anchor\n",
                      "f.yaml:1: anchors (&name) are not supported\n"
                      "f.yaml:2: aliases (*name) are not supported; write the value out\n");
    expect_complaints("a: !!int 1\n", "f.yaml:1: tags (!name) are not supported\n");
    expect_complaints("a:\n\tb: 1\n", "f.yaml:2: a tab in the indentation; use spaces\n");
    expect_complaints("[a]: 1\n", "f.yaml:1: a key must be a text, not a list or a map\n");
    expect_complaints("a: 1\n---\nb: 1\n", "f.yaml:2: a second document; one file holds one\n");
    expect_complaints("a: \"x\\0y\"\n", "f.yaml:1: a text may not contain a NUL\n");
    expect_complaints("a: 1\nb: \xff\n",
                      "f.yaml:2: not valid UTF-8 text: invalid leading UTF-8 octet\n");
    expect_complaints("a: 1\nb: [1, 2\nc: 3\n",
                      "f.yaml:3: not valid YAML: did not find expected ',' or ']' (while parsing "
                      "a flow sequence that began in line 2)\n");
    expect_complaints("a: b: c\n", "f.yaml:1: not valid YAML: mapping values are not allowed in "
                                   "this context\n");
}

static void test_broken_text_has_no_root(void **state)
{
    struct sheet sheet = read_text("a: [");

    (void)state;
    assert_null(sheet.root);
    arena_destroy(sheet.arena);
    sheet = read_text("a: 1\na: 2\n");
    assert_non_null(sheet.root); /* the rest can still be checked */
    assert_true(view_is_text(tree_get(sheet.root, "a")->value, "1"));
    arena_destroy(sheet.arena);
}

static void test_depth(void **state)
{
    char text[2 * YAML_DEPTH_MAX + 8] = "";

    (void)state;
    memset(text, '[', YAML_DEPTH_MAX);
    memset(text + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
    expect_complaints(text, "");
    memset(text, '[', YAML_DEPTH_MAX + 1);
    memset(text + YAML_DEPTH_MAX + 1, ']', YAML_DEPTH_MAX + 1);
    expect_complaints(text, "f.yaml:1: nested deeper than 32\n");
}

static void test_size(void **state)
{
    struct byte_writer text;

    (void)state;
    byte_writer_init(&text);
    for (uint32_t i = 0; i <= YAML_NODES_MAX; i++)
        byte_put(&text, "- a\n", 4);
    byte_put_u8(&text, 0);
    expect_complaints(text.data, "f.yaml:200000: more than 200000 values\n");
    byte_writer_reset(&text);
    while (text.size <= YAML_TEXT_BYTES_MAX)
        byte_put(&text, "# a comment of no use\n", 22);
    byte_put_u8(&text, 0);
    expect_complaints(text.data, "f.yaml:1: larger than 4194304 bytes\n");
    byte_writer_free(&text);
}

static void test_missing_file(void **state)
{
    struct arena *arena = arena_create(4096);
    struct complaints complaints;
    struct tree *root = NULL;

    (void)state;
    complaints_init(&complaints, arena);
    assert_int_equal(yaml_parse_file("/nonexistent/weir.yaml", arena, &root, &complaints),
                     STATUS_BROKEN);
    assert_string_equal(complaints.first->text,
                        "/nonexistent/weir.yaml: cannot be read: No such file or directory");
    assert_int_equal(yaml_parse_file("/", arena, &root, &complaints), STATUS_BROKEN);
    assert_int_equal(complaints.count, 2);
    arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_broken_text_has_no_root),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_missing_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
