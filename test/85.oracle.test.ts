/**
 * Random operations against support/collector-model.ts: 100,000, or as many as OPERATIONS says; SEED repeats a run.
 */
import { ModelledProgram } from './support/collector-model';
import { randomIntegers, seed } from './support/random';

const operations = Number(process.env.OPERATIONS ?? 100_000);
const betweenChecks = 5000;

test(
  `${operations} operations do what the model says (SEED=${seed})`,
  async () => {
    const program = new ModelledProgram(randomIntegers());
    for (let done = 0; done < operations; done++) {
      try {
        if (done % betweenChecks === betweenChecks - 1) await program.check();
        program.step();
      } catch (error) {
        throw new Error(`operation ${done} with SEED=${seed}: ${(error as Error).stack}`, { cause: error });
      }
    }
    await program.check();
    for (const kind of ['compile', 'drop', 'root', 'free', 'move', 'minor', 'major', 'call', 'throw'])
      expect(program.counts[kind]).toBeGreaterThan(operations / 10_000);
    program.jit.dispose();
  },
  Math.max(120_000, operations * 9), // in zeal, on a machine that does other things too
);
