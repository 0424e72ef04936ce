/**
 * Holds in every test.
 *
 * Always true: a test that expects nothing fails; objects whose whole state is private are equal if they are the same one, where a linter can't
 * see that they are compared.
 */
beforeEach(() => {
  expect.hasAssertions();
});

/** An instance of a class of somebody, without a property that could be compared. */
function isOpaque(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Object.prototype.toString.call(value) !== '[object Object]') return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype !== null && Object.getPrototypeOf(prototype) !== null && Reflect.ownKeys(value).length === 0;
}

/** Of which @types/jest knows nothing. */
interface Extended {
  addEqualityTesters(testers: Array<(a: unknown, b: unknown) => boolean | undefined>): void;
}

(expect as unknown as Extended).addEqualityTesters([(a, b) => (isOpaque(a) && isOpaque(b) ? a === b : undefined)]);
