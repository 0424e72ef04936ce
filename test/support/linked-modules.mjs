/**
 * A program of several modules that refer to each other, each a code object of its own.
 *
 * In: IR texts. Out: placed code objects. Always true: a module is compiled after those whose data it refers to; functions that come later
 * are declared first, and defined then.
 */

const namePattern = '("[^"\\n]+"|[\\w.$]+)';

/** What a module defines and refers to. */
class Module {
  #text;
  object;

  constructor(text) {
    this.#text = text;
    this.functions = this.#names(`^define (?!internal |private )[^\\n@]*@${namePattern}\\(`);
    for (const alias of this.#names(`^@${namePattern} = (?!internal |private )[^\\n]*\\balias \\w+ \\(`))
      this.functions.add(alias);
    this.data = this.#names(`^@${namePattern} = (?!external |extern_weak |internal |private |[^\\n]*\\balias )`);
    this.neededData = this.#names(`^@${namePattern} = external `);
    this.neededFunctions = new Map(
      [...text.matchAll(new RegExp(`^declare ([^\\n@]*)@${namePattern}\\((.*)\\)[^)]*$`, 'gm'))].map(
        ([, result, name, parameters]) => [name.replaceAll('"', ''), functionType(result, parameters)],
      ),
    );
  }

  get text() {
    return this.#text;
  }

  #names(pattern) {
    return new Set([...this.#text.matchAll(new RegExp(pattern, 'gm'))].map(([, name]) => name.replaceAll('"', '')));
  }
}

/** IR type of a function declared with attributes: the result's type comes last, a parameter's first. */
function functionType(result, parameters) {
  const withoutArguments = parameters.replaceAll(/\([^()]*\)/g, '');
  const types = withoutArguments.split(',').map((parameter) => parameter.trim().split(' ')[0]);
  return `${result.trim().split(' ').at(-1)} (${types.join(', ')})`;
}

/** Those whose data others need come first, and else those whose functions others need. */
function inOrder(modules) {
  const rest = [...modules];
  const sorted = [];
  const needsDataOf = (one, other) => [...one.neededData].some((name) => other.data.has(name));
  const needsFunctionOf = (one, other) => [...one.neededFunctions.keys()].some((name) => other.functions.has(name));
  while (rest.length > 0) {
    const dataReady = rest.filter((one) => !rest.some((other) => other !== one && needsDataOf(one, other)));
    const next =
      dataReady.find((one) => !rest.some((other) => other !== one && needsFunctionOf(one, other))) ?? dataReady[0] ?? rest[0];
    sorted.push(next);
    rest.splice(rest.indexOf(next), 1);
  }
  return sorted;
}

/** Compiles and places them; `imports` as in CompileOptions. */
export function loadModules(jit, space, texts, { optLevel, retain, imports }) {
  const modules = inOrder(texts.map((text) => new Module(text)));
  const done = [];
  for (const module of modules) {
    declareMissing(jit, module, modules);
    const data = [...module.neededData].flatMap((name) => {
      const owner = done.find((other) => other.data.has(name));
      return owner === undefined ? [] : [[name, owner.object.addressOf(name)]];
    });
    const object = jit.compile(module.text, { optLevel, retain, imports: { ...Object.fromEntries(data), ...imports } });
    module.object = object.place(space.allocate(object));
    defineNeeded(jit, module, modules);
    done.push(module);
  }
  return done.map(({ object }) => object);
}

function declareMissing(jit, module, modules) {
  for (const [name, type] of module.neededFunctions) {
    const owner = modules.find((other) => other !== module && other.functions.has(name));
    if (owner === undefined || owner.object !== undefined || owner.isDeclared?.has(name)) continue;
    (owner.isDeclared ??= new Set()).add(name);
    jit.declare(name, type);
  }
}

/** The first definition of a name counts. */
function defineNeeded(jit, module, modules) {
  for (const name of module.functions) {
    const isFirst = modules.find((other) => other.functions.has(name)) === module;
    if (isFirst && modules.some((other) => other !== module && other.neededFunctions.has(name)))
      jit.define(name, module.object.get(name));
  }
}
