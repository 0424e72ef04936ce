/**
 * Private fields on objects of other classes.
 *
 * In: an object. Out: the same object, with the private fields of a subclass. Always true: nobody can forge such an object, its class leads nobody to
 * the fields, and they cost what fields cost: no table entry.
 */

/** Its subclasses add their private fields to `target` instead of a new object. */
// eslint-disable-next-line @typescript-eslint/no-extraneous-class -- its constructor is the point
export class Stamp {
  constructor(target: object) {
    return target;
  }
}
