/**
 * SQLite: more than a megabyte of code. A database and a half-read statement stay open while it moves; JavaScript knows the answers.
 */
import type { Program, Step } from '../program';

interface Driver {
  db_open(): number;
  db_run(sql: Buffer, rows: Buffer, capacity: number): number;
  cursor_open(sql: Buffer): number;
  cursor_next(): bigint;
  db_number(sql: Buffer): number;
  db_mixes(): number;
  db_close(): number;
}

const batches = 10;
const batchRows = 200;
const rowCount = batches * batchRows;

function* steps(driver: Driver): Generator<Step> {
  const out = Buffer.alloc(2 ** 16);
  const run = (sql: string): string => {
    const length = driver.db_run(zeroTerminated(sql), out, out.length);
    return length < 0 ? `SQLite error ${-length}` : out.toString('latin1', 0, length).trimEnd().replaceAll('\n', ' ');
  };
  const query = (call: string, sql: string, expected: string): Step => ({ call, result: run(sql), expected });
  const sum = (of: (id: number) => number): number => ids.reduce((total, id) => total + of(id), 0);

  yield { call: 'open', result: driver.db_open(), expected: 0 };
  yield query('create table', 'create table t(id integer primary key, name text, k integer)', '');
  yield query(
    'create trigger',
    'create table log(n); create trigger g after insert on t begin insert into log values (new.id); end',
    '',
  );
  for (let i = 0; i < batches; i++)
    yield query(`insert ${batchRows} rows`, `${insertBatch(i)}; select count(*) from t`, `${(i + 1) * batchRows}`);
  yield { call: 'calls of mix()', result: driver.db_mixes(), expected: rowCount };
  yield query('sum', 'select sum(k), max(k) from t', `${sum(mix)}|${Math.max(...ids.map(mix))}`);

  const ordered = ids.map(mix).sort((a, b) => a - b);
  yield { call: 'open cursor', result: driver.cursor_open(zeroTerminated('select k from t order by k')), expected: 0 };
  for (let i = 0; i < 6; i++) yield { call: `row ${i + 1}`, result: driver.cursor_next(), expected: BigInt(ordered[i]!) };

  yield query(
    'create index',
    'create index by_k on t(k); select count(*) from t indexed by by_k where k < 500000',
    `${ids.filter((id) => mix(id) < 500000).length}`,
  );
  yield query('begin, update', 'begin; update t set k = -k; select sum(k) from t', `${-sum(mix)}`);
  yield query('rollback', 'rollback; select sum(k) from t', `${sum(mix)}`);
  yield query('own collation', 'select name from t order by name collate by_length desc limit 1', `name ${rowCount}`);
  yield query(
    'common table',
    'with recursive f(a, b) as (select 0, 1 union all select b, a + b from f limit 60) select max(a) from f',
    `${fibonacci(59)}`,
  );
  yield query('JSON', `select json_extract('{"a":[1,{"b":"moved"}]}', '$.a[1].b')`, 'moved');
  yield query('window', 'select sum(r) from (select rank() over (partition by id % 7 order by k) r from t)', `${rankSum()}`);
  yield query(
    'delete',
    'delete from t where id % 2; select count(*), (select count(*) from log) from t',
    `${rowCount / 2}|${rowCount}`,
  );
  yield { call: 'average', result: driver.db_number(zeroTerminated('select avg(id) from t')), expected: rowCount / 2 + 1 };
  yield query('check', 'pragma integrity_check', 'ok');
  yield { call: 'close', result: driver.db_close(), expected: 0 };
}

const ids = Array.from({ length: rowCount }, (_, i) => i + 1);

function mix(id: number): number {
  return (id * 2654435761) % 1000003;
}

function insertBatch(i: number): string {
  const first = i * batchRows + 1;
  const values = `with recursive c(x) as (select ${first} union all select x + 1 from c limit ${batchRows})`;
  return `insert into t ${values} select x, 'name ' || x, mix(x) from c`;
}

function fibonacci(n: number): number {
  let [a, b] = [0, 1];
  for (let i = 0; i < n; i++) [a, b] = [b, a + b];
  return a;
}

/** The ranks within each of seven classes: 1 + 2 + ... as no two k are equal. */
function rankSum(): number {
  const sizes = Array.from({ length: 7 }, (_, rest) => ids.filter((id) => id % 7 === rest).length);
  return sizes.reduce((total, size) => total + (size * (size + 1)) / 2, 0);
}

function zeroTerminated(sql: string): Buffer {
  return Buffer.from(`${sql}\0`);
}

export const sqlite: Program = {
  name: 'sqlite',
  about: 'a database in memory, open while more than a megabyte of code moves',
  packages: ['better-sqlite3'],
  licence: 'public domain',
  sources: [
    {
      name: 'database',
      file: 'examples/demo/drivers/database.c',
      include: ['node_modules/better-sqlite3/deps/sqlite3'],
      defines: ['-DSQLITE_THREADSAFE=0', '-DSQLITE_OMIT_LOAD_EXTENSION'],
    },
  ],
  moves: 'code',
  // At levels 1 and 2 the code generator needs half a minute for it.
  optLevel: 0,
  steps: (functions) => steps(functions as unknown as Driver),
};
