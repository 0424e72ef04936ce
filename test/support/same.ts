/**
 * Comparing what has private state, and so can only be the same or not.
 *
 * In: what was got, and what was expected. Always true: each pair is compared by identity.
 */

/** Expects the very same values in the same order. */
export function expectSame(actual: Iterable<unknown>, expected: readonly unknown[]): void {
  const list = [...actual];
  expect(list.length).toBe(expected.length);
  for (const [i, each] of list.entries()) expect(each).toBe(expected[i]);
}

/** Expects the very same values under the same names. */
export function expectSameFields(actual: object | undefined, expected: object): void {
  const fields: Record<string, unknown> = { ...actual };
  expect(Object.keys(fields).sort()).toEqual(Object.keys(expected).sort());
  for (const [name, value] of Object.entries(expected)) expect(fields[name]).toBe(value);
}
