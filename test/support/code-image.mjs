/**
 * What is where in the code segment of a code object.
 *
 * In: its bytes. Out: a name for what an offset in it points at, so that words on the stack can be told apart. Always true: it is a guess
 * from the bytes alone (function extents from the unwind records, calls from their opcodes), for counts and not for decisions.
 */
const callOpcodes = [
  [5, [0xe8]],
  [2, [0xff]],
  [3, [0xff]],
  [4, [0xff]],
  [6, [0xff]],
  [7, [0xff]],
];
const cieSignature = Buffer.from([0, 0, 0, 0, 1, 0x7a]); // id 0, version 1, augmentation 'z...'
const recordHeaderBytes = 8;

export class CodeImage {
  #bytes;
  #functions = [];
  #unwind = { base: 0, limit: 0 };

  constructor(bytes) {
    this.#bytes = bytes;
    this.#readUnwindRecords();
  }

  /** 'return address', 'function', 'label', 'jump table', 'constant' or 'unwind record'. */
  whatIsAt(offset) {
    const around = this.#functions.find(({ base, limit }) => offset >= base && offset <= limit);
    if (around !== undefined) {
      if (this.#isBehindCall(offset)) return 'return address';
      return this.#functions.some(({ base }) => base === offset) ? 'function' : 'label';
    }
    if (offset >= this.#unwind.base && offset < this.#unwind.limit) return 'unwind record';
    return this.#isJumpTable(offset) ? 'jump table' : 'constant';
  }

  #readUnwindRecords() {
    const bytes = this.#bytes;
    const first = bytes.indexOf(cieSignature);
    if (first < 4) return;
    const base = first - 4;
    let at = base;
    while (at + recordHeaderBytes <= bytes.length) {
      const length = bytes.readUInt32LE(at);
      if (length === 0 || at + 4 + length > bytes.length) break;
      const isFunction = bytes.readUInt32LE(at + 4) !== 0;
      if (isFunction) this.#addFunction(at + recordHeaderBytes);
      at += 4 + length;
    }
    this.#unwind = { base, limit: at };
  }

  /** `at`: where a record has the function's address, relative to itself, and its size. */
  #addFunction(at) {
    const base = at + this.#bytes.readInt32LE(at);
    this.#functions.push({ base, limit: base + this.#bytes.readUInt32LE(at + 4) });
  }

  #isBehindCall(offset) {
    return callOpcodes.some(([length, [opcode]]) => {
      const at = offset - length;
      if (at < 0 || this.#bytes[at] !== opcode) return false;
      return opcode === 0xe8 || ((this.#bytes[at + 1] >> 3) & 7) === 2;
    });
  }

  /** Its first two entries lead from its base into functions. */
  #isJumpTable(offset) {
    if (offset + 8 > this.#bytes.length) return false;
    return [0, 4].every((entry) => {
      const target = offset + this.#bytes.readInt32LE(offset + entry);
      return this.#functions.some(({ base, limit }) => target >= base && target < limit);
    });
  }
}
