$once = comdat any
@weak = weak global i32 1
@once = linkonce_odr constant i32 2, comdat
@common = common global [4 x i32] zeroinitializer
@missing = extern_weak global i32
@a = alias i32, ptr @weak
@list = appending global [1 x ptr] [ptr @f]
define weak ptr @f() {
  %p = select i1 icmp eq (ptr @missing, ptr null), ptr @once, ptr @a
  ret ptr %p
}
