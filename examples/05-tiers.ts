/**
 * Compiles code fast at first, at O0, and again at O2 in the background when that pays: when JS has called it often, or when it has
 * lived long enough to leave the nursery. Its callers call the new code from then on.
 * npx tsx examples/05-tiers.ts
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { CopyingCollector, Jit, type Tiered } from 'nomad-jit';

/** `x * (x + 1)` as a simple front end writes it: every value goes through memory. */
const horner = `define i32 @horner(i32 %x) {
  %slot = alloca i32
  store i32 %x, ptr %slot
  %a = load i32, ptr %slot
  %b = add i32 %a, 1
  store i32 %b, ptr %slot
  %c = load i32, ptr %slot
  %d = mul i32 %c, %x
  ret i32 %d
}`;

const caller = `declare i32 @horner(i32)
define i32 @caller(i32 %x) {
  %slot = alloca i32
  %y = call i32 @horner(i32 %x)
  store i32 %y, ptr %slot
  %z = load i32, ptr %slot
  %r = add i32 %z, 1
  ret i32 %r
}`;

async function main(jit: Jit): Promise<void> {
  const collector = new CopyingCollector(jit, { tier: { hotCalls: 500 }, promoteAfter: 2 });
  const first = collector.compile(horner, { name: 'horner' });
  const second = collector.compile(caller, { name: 'caller', imports: { horner: first.get('horner') } });
  const bytes = new Map([first, second].map((object) => [object, object.sizes.code]));
  const show = ({ object, from, to }: Tiered): void =>
    console.log(`${object.name}: O${from} -> O${to}, less code: ${object.sizes.code < bytes.get(object)!}`);
  collector.on('tiered', show);
  collector.on('tier-error', ({ error }) => assert.fail(error));

  const compute = first.get<(x: number) => number>('horner');
  const ask = second.get<(x: number) => number>('caller');
  console.log(`compiled at O0: ${compute(14)} is what it should be`);

  for (let i = 1; i < 500; i++) assert.equal(compute(i), i * (i + 1)); // hot
  console.log('called 500 times');
  await collector.tierUp(first); // waits for what has begun; a program need not

  const promoted = once(collector, 'tiered');
  for (let i = 0; i < 2; i++) collector.collect('minor'); // the caller has survived both, and is promoted
  await Promise.all([promoted, collector.tierUp(second)]);

  console.log(`the same callables, and their callers: ${compute(14)} ${ask(14)}`);
  const { sourceBytes, outdated } = collector.tierStats!;
  console.log(`sources kept: ${sourceBytes} bytes; old versions kept: ${outdated}`);
}

const jit = new Jit();
void main(jit).finally(() => jit.dispose());
