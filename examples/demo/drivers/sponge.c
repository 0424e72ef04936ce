/* SHA3-512 as three calls. The sponge between them lives in this code object's data, which moves with the code. */
#include "KeccakP-1600-opt64.c"
#include "KeccakSpongeWidth1600.c"

static KeccakWidth1600_SpongeInstance sponge;

int sha3_begin(void) { return KeccakWidth1600_SpongeInitialize(&sponge, 576, 1024); }

int sha3_update(const unsigned char *bytes, int length) { return KeccakWidth1600_SpongeAbsorb(&sponge, bytes, (size_t)length); }

int sha3_final(unsigned char *digest) {
  int error = KeccakWidth1600_SpongeAbsorbLastFewBits(&sponge, 0x06);
  return error ? error : KeccakWidth1600_SpongeSqueeze(&sponge, digest, 64);
}

/* A word of the sponge: what a caller sees of the state between two calls. */
long long sha3_peek(int word) {
  long long value;
  __builtin_memcpy(&value, sponge.state + 8 * word, 8);
  return value;
}
