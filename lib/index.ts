/**
 * What users may import.
 */
import './zeal/zealous-spaces';

export type { CacheOptions } from './jit/cache-options';
export type { AnyFunction } from './call/types';
export { isCallable } from './code/callable';
export { CodeObject, CodeSpace, type Callable, type CallableProperties, type Placement } from './code/code-object';
export type { CodeObjectState } from './record/status';
export { CompileResult } from './code/compile-result';
export { CopyingCollector } from './collector/copying-collector';
export type { CollectorOptions } from './collector/policy';
export type { Collection, CollectionKind, CollectOptions, CollectorEvents } from './collector/report';
export type { TierOptions } from './jit/tier-options';
export type { Tiered, TierFailure, TierStats } from './tier/report';
export {
  ArenaError,
  CodegenError,
  IRParseError,
  IRVerifyError,
  JitError,
  LinkError,
  PlacementError,
  SignatureError,
  SpaceFullError,
  StateError,
  TrapError,
  type TrapFrame,
  type TrapKind,
  UnresolvedSymbolError,
  UnsupportedError,
} from './base/errors';
export { PinnedError } from './code/pinned-error';
export type { FunctionType, GlobalType, ParameterType } from './code/exports';
export { hostFunction, HostFunction, type HostCallback } from './call/host-function';
export { interrupt } from './jit/interrupt';
export { Jit } from './jit/jit';
export type { JitStats } from './jit/jit-stats';
export type { Move, MoveReport } from './jit/move-batch';
export type { ValueKind } from './base/native';
export type { CompileOptions, DeserializeOptions, Importable, OptLevel, PartsOptions } from './jit/compile-options';
export type { CompileLimits, Isolation } from './jit/isolation';
export type { JitOptions, LinkerName, ProcessSymbols } from './jit/jit-options';
export type { SpaceOptions } from './jit/space-options';
export { granuleBytes, type PerSegment, type SegmentName } from './base/segments';
export type { Allocator } from './space/allocator';
export type { AllocationPolicy } from './space/arena';
export type { StackRoot, StackRoots } from './code/stack-roots';
export { BumpAllocator } from './space/bump';
export { FreeListAllocator } from './space/free-list';
export type { Occupancy } from './space/code-space';
