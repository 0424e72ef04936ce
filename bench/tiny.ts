/**
 * The tiny function of the figures about many code objects.
 *
 * In: a number. Out: IR text. Always true: the C++ peer makes the same text of the same template.
 */

/** IR text in which each '#' stands for the function's number. */
export const template = `define i32 @f#(i32 %a, i32 %b) {
  %product = mul i32 %a, %b
  %sum = add i32 %product, #
  ret i32 %sum
}
`;

/** Its name is `f` and the number; called with (3, 4) it returns `resultOf(number)`. */
export function sourceOf(number: number): string {
  return template.replaceAll('#', String(number));
}

export function resultOf(number: number): number {
  return 12 + number;
}
