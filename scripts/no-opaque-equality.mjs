/**
 * ESLint rule: no deep equality with an instance of a class that has private members.
 *
 * To toEqual and its like two such instances are equal whatever they are, since all that tells them apart is private. Compare identity: toBe, or
 * expectSame for lists.
 */
import { ESLintUtils } from '@typescript-eslint/utils';
import ts from 'typescript';

/** Matchers that compare deeply, and which of their arguments they compare. */
const matchers = new Map([
  ['toEqual', 0],
  ['toStrictEqual', 0],
  ['toMatchObject', 0],
  ['toContainEqual', 0],
  ['toHaveProperty', 1],
  ['toHaveBeenCalledWith', 0],
  ['toHaveBeenLastCalledWith', 0],
  ['toHaveBeenNthCalledWith', 1],
  ['toHaveReturnedWith', 0],
]);

/** Deeper than any value that a test compares; types may refer to themselves. */
const depthLimit = 6;

/** The name of a class with private members that `type` is or has in it, or undefined. */
function opaqueIn(type, checker, depth = 0) {
  if (depth > depthLimit) return undefined;
  const inside = (part) => opaqueIn(part, checker, depth + 1);
  if (type.isUnionOrIntersection()) return firstOf(type.types, inside);
  // Functions are compared by identity.
  if ((type.flags & ts.TypeFlags.Object) === 0 || type.getCallSignatures().length > 0) return undefined;
  const properties = type.getProperties();
  if (properties.some(isPrivate)) return type.symbol.name;
  return (
    firstOf(checker.getTypeArguments(type), inside) ??
    firstOf(properties.filter(isOfTests), (each) => inside(checker.getTypeOfSymbol(each)))
  );
}

function isPrivate(property) {
  const name = property.valueDeclaration?.name;
  return name !== undefined && ts.isPrivateIdentifier(name);
}

/** Not those of arrays, maps and so on: what is in them is in their type arguments. */
function isOfTests(property) {
  return !(property.valueDeclaration?.getSourceFile().fileName.includes('/node_modules/') ?? true);
}

function firstOf(parts, find) {
  for (const part of parts) {
    const found = find(part);
    if (found !== undefined) return found;
  }
  return undefined;
}

export const noOpaqueEquality = ESLintUtils.RuleCreator.withoutDocs({
  meta: {
    type: 'problem',
    schema: [],
    messages: { opaque: '{{matcher}} finds any two {{type}} equal: their state is private. Compare identity: toBe, expectSame' },
  },
  defaultOptions: [],
  create(context) {
    const services = ESLintUtils.getParserServices(context);
    const checker = services.program.getTypeChecker();
    return {
      'CallExpression[callee.type="MemberExpression"]'({ callee, arguments: given }) {
        const matcher = callee.property.name;
        for (const node of given.slice(matchers.get(matcher) ?? Infinity)) {
          const type = opaqueIn(services.getTypeAtLocation(node), checker);
          if (type !== undefined) context.report({ node, messageId: 'opaque', data: { matcher, type } });
        }
      },
    };
  },
});
