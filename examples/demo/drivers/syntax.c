/* One syntax tree, kept between calls and edited. The grammar is a code object of its own, and so is its scanner. */
#include "lib.c"

const TSLanguage *tree_sitter_javascript(void);

static TSParser *parser;
static TSTree *tree;

int parse_open(void) {
  parser = ts_parser_new();
  return ts_parser_set_language(parser, tree_sitter_javascript()) ? 0 : -1;
}

static TSPoint pointAt(const char *text, unsigned byte) {
  TSPoint point = {0, 0};
  for (unsigned i = 0; i < byte; i++) {
    point.column++;
    if (text[i] == '\n') point.row++, point.column = 0;
  }
  return point;
}

static int replaceTree(TSTree *next) {
  if (tree) ts_tree_delete(tree);
  tree = next;
  return tree ? (int)ts_node_descendant_count(ts_tree_root_node(tree)) : -1;
}

/* Number of nodes. */
int parse_all(const char *text, int length) { return replaceTree(ts_parser_parse_string(parser, NULL, text, (unsigned)length)); }

/* `text` is the new text, in which [start, newEnd) stands for what was [start, oldEnd) of `old`. Number of nodes. */
int parse_edit(const char *old, const char *text, int length, int start, int oldEnd, int newEnd) {
  TSInputEdit edit = {
      .start_byte = (unsigned)start, .old_end_byte = (unsigned)oldEnd, .new_end_byte = (unsigned)newEnd,
      .start_point = pointAt(text, (unsigned)start),
      .old_end_point = pointAt(old, (unsigned)oldEnd),
      .new_end_point = pointAt(text, (unsigned)newEnd),
  };
  ts_tree_edit(tree, &edit);
  return replaceTree(ts_parser_parse_string(parser, tree, text, (unsigned)length));
}

/* Captures of a query such as "(call_expression) @c", or -1. */
int count_matches(const char *source, int length) {
  unsigned offset;
  TSQueryError error;
  TSQuery *query = ts_query_new(tree_sitter_javascript(), source, (unsigned)length, &offset, &error);
  if (!query) return -1;
  TSQueryCursor *cursor = ts_query_cursor_new();
  ts_query_cursor_exec(cursor, query, ts_tree_root_node(tree));
  int count = 0;
  for (TSQueryMatch match; ts_query_cursor_next_match(cursor, &match);) count += match.capture_count;
  ts_query_cursor_delete(cursor);
  ts_query_delete(query);
  return count;
}

/* The tree as an S-expression: its length, or -1 if it is too long. */
int write_tree(char *out, int capacity) {
  char *text = ts_node_string(ts_tree_root_node(tree));
  size_t length = strlen(text);
  if (length > (size_t)capacity) return free(text), -1;
  memcpy(out, text, length);
  free(text);
  return (int)length;
}

int parse_close(void) {
  ts_tree_delete(tree);
  ts_parser_delete(parser);
  return 0;
}
