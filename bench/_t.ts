import { Jit, type Move } from 'nomad-jit';
import { sourceOf } from './tiny';
for (const attr of ['', ' nounwind']) {
const jit = new Jit();
const N = 10000, S = 80;
const objects = Array.from({length:N},(_,i)=>jit.compile(sourceOf(i).replace(') {', `)${attr} {`),{optLevel:0}));
console.log(attr, objects[5].sizes.code);
const space = jit.createSpace({codeBytes: 2*N*S});
objects.forEach((o,i)=>o.place({space,code:i*S}));
const moves=[0,1].map(h=>objects.map((o,i):Move=>[o,{space,code:(h*N+i)*S}]));
const med=(a:number[])=>a.sort((x,y)=>x-y)[a.length>>1]!;
const t:number[]=[],n:number[]=[];
for(let r=0;r<+(process.env.R??200);r++){const a=performance.now();const rep=jit.relocate(moves[1-r%2]!);t.push((performance.now()-a)*1e6/N);n.push(rep.nanoseconds/N);}
console.log('batch',med(t),'native',med(n), Math.min(...t), Math.min(...n));
t.length=0;
for(let r=0;r<100;r++){const a=performance.now();for(let i=0;i<N;i++)objects[i]!.relocate(moves[1-r%2]![i]![1]);t.push((performance.now()-a)*1e6/N);}
console.log('each',med(t),Math.min(...t));
}
