module asm ".text"
module asm ".globl g"
module asm "g: ret"
module asm ".comm shared, 64, 16"
declare void @g()
@shared = external global [64 x i8]
define ptr @f() {
  call void @g()
  ret ptr @shared
}
