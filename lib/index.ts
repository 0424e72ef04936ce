/**
 * What users may import.
 */
export type { CacheOptions } from './cache';
export { isCallable, type AnyFunction, type Callable, type CallableProperties } from './callable';
export { CodeObject } from './code-object';
export type { CodeObjectState } from './code-object-facts';
export { CompileResult } from './compile-result';
export { CopyingCollector } from './collector/copying-collector';
export type { CollectorOptions } from './collector/policy';
export type { Collection, CollectionKind, CollectOptions, CollectorEvents } from './collector/report';
export type { TierOptions } from './collector/tier-policy';
export type { Tiered, TierFailure, TierStats } from './collector/tier-report';
export {
  ArenaError,
  CodegenError,
  IRParseError,
  IRVerifyError,
  JitError,
  LinkError,
  PinnedError,
  PlacementError,
  SignatureError,
  SpaceFullError,
  StateError,
  TrapError,
  type TrapFrame,
  type TrapKind,
  UnresolvedSymbolError,
  UnsupportedError,
} from './errors';
export type { FunctionType, GlobalType, ParameterType } from './function-type';
export { hostFunction, HostFunction, type HostCallback } from './host-function';
export { interrupt } from './interrupt';
export { Jit } from './jit';
export type { JitStats } from './jit-stats';
export type { Move, MoveReport } from './move-batch';
export type { ValueKind } from './native';
export type {
  CompileLimits,
  CompileOptions,
  DeserializeOptions,
  Importable,
  JitOptions,
  Isolation,
  LinkerName,
  OptLevel,
  PartsOptions,
  ProcessSymbols,
  SpaceOptions,
} from './options';
export type { PerSegment, Placement, SegmentName } from './segments';
export { granuleBytes, type Allocator } from './space/allocator';
export type { StackRoot, StackRoots } from './stack-roots';
export { BumpAllocator } from './space/bump';
export { FreeListAllocator } from './space/free-list';
export { CodeSpace, type AllocationPolicy, type Occupancy } from './space/space';
