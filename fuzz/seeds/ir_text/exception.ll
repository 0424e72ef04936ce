declare ptr @__cxa_allocate_exception(i64)
declare void @__cxa_throw(ptr, ptr, ptr)
@_ZTIi = external constant ptr
declare i32 @__gxx_personality_v0(...)
declare ptr @__cxa_begin_catch(ptr)
declare void @__cxa_end_catch()
define internal void @thrower(i32 %x) noinline {
 %e = call ptr @__cxa_allocate_exception(i64 4)
 store i32 %x, ptr %e
 call void @__cxa_throw(ptr %e, ptr @_ZTIi, ptr null)
 unreachable
}
define i32 @f(i32 %x) personality ptr @__gxx_personality_v0 {
 invoke void @thrower(i32 %x) to label %q unwind label %p
q:
 ret i32 -1
p:
 %e = landingpad { ptr, i32 } catch ptr @_ZTIi
 %o = extractvalue { ptr, i32 } %e, 0
 %c = call ptr @__cxa_begin_catch(ptr %o)
 %v = load i32, ptr %c
 call void @__cxa_end_catch()
 %r = add i32 %v, 7
 ret i32 %r
}
