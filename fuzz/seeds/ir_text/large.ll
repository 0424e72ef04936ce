@zeros = global [1000000 x i8] zeroinitializer
@aligned = constant i8 1, align 4096
@far = global ptr getelementptr (i8, ptr @zeros, i64 -100000)
define ptr @f() section "odd" align 64 {
  %p = getelementptr i8, ptr @zeros, i64 999999
  ret ptr %p
}
