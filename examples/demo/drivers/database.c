/*
 * A database in memory and a statement in the middle of its rows, both open between calls. SQLite keeps hundreds of pointers to its
 * functions on the C heap: they are entry stubs, and stay good.
 */
#include "sqlite3.c"

static sqlite3 *db;
static sqlite3_stmt *cursor;
static int mixes;

/* mix(x): an SQL function with a state, called from inside the statement interpreter. */
static void mix(sqlite3_context *context, int count, sqlite3_value **values) {
  (void)count;
  mixes++;
  sqlite3_result_int64(context, sqlite3_value_int64(values[0]) * 2654435761 % 1000003);
}

static int byLength(void *unused, int n, const void *a, int m, const void *b) {
  (void)unused;
  return n != m ? n - m : memcmp(a, b, (size_t)n);
}

int db_open(void) {
  int error = sqlite3_open(":memory:", &db);
  if (!error) error = sqlite3_create_function(db, "mix", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, mix, NULL, NULL);
  if (!error) error = sqlite3_create_collation(db, "by_length", SQLITE_UTF8, NULL, byLength);
  return error;
}

typedef struct {
  char *at, *limit;
} Output;

static int writeRow(void *closure, int columns, char **values, char **names) {
  Output *out = closure;
  (void)names;
  for (int i = 0; i < columns; i++) {
    const char *value = values[i] ? values[i] : "NULL";
    size_t length = strlen(value);
    if ((size_t)(out->limit - out->at) <= length) return 1;
    memcpy(out->at, value, length);
    out->at += length;
    *out->at++ = i + 1 < columns ? '|' : '\n';
  }
  return 0;
}

/* Runs SQL (zero-terminated): length of the rows as text, or minus the error code. */
int db_run(const char *sql, char *rows, int capacity) {
  Output out = {rows, rows + capacity};
  int error = sqlite3_exec(db, sql, writeRow, &out, NULL);
  return error ? -error : (int)(out.at - rows);
}

int cursor_open(const char *sql) { return sqlite3_prepare_v2(db, sql, -1, &cursor, NULL); }

/* The next row's first column, or -1 after the last row. */
long long cursor_next(void) { return sqlite3_step(cursor) == SQLITE_ROW ? sqlite3_column_int64(cursor, 0) : -1; }

double db_number(const char *sql) {
  sqlite3_stmt *statement;
  double value = -1;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL)) return value;
  if (sqlite3_step(statement) == SQLITE_ROW) value = sqlite3_column_double(statement, 0);
  sqlite3_finalize(statement);
  return value;
}

int db_mixes(void) { return mixes; }

int db_close(void) {
  sqlite3_finalize(cursor);
  return sqlite3_close(db);
}
