/* An LZ4 frame written piece by piece, and read back. The contexts are on the C heap; this code object's data points to them. */
#include "lz4.c"
#include "lz4hc.c"
#include "lz4frame.c"
#include "xxhash.c"

static LZ4F_cctx *writer;
static LZ4F_dctx *reader;
static long long bytesIn, bytesOut;

static const LZ4F_preferences_t preferences = {
    .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent, .contentChecksumFlag = LZ4F_contentChecksumEnabled},
    .compressionLevel = 6,
    .autoFlush = 1,
};

static int produced(size_t size) {
  if (LZ4F_isError(size)) return -1;
  bytesOut += (long long)size;
  return (int)size;
}

int frame_begin(void *out, int capacity) {
  if (LZ4F_isError(LZ4F_createCompressionContext(&writer, LZ4F_VERSION))) return -1;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&reader, LZ4F_VERSION))) return -1;
  return produced(LZ4F_compressBegin(writer, out, (size_t)capacity, &preferences));
}

int frame_update(void *out, int capacity, const void *in, int size) {
  bytesIn += size;
  return produced(LZ4F_compressUpdate(writer, out, (size_t)capacity, in, (size_t)size, NULL));
}

int frame_end(void *out, int capacity) {
  int size = produced(LZ4F_compressEnd(writer, out, (size_t)capacity, NULL));
  LZ4F_freeCompressionContext(writer);
  return size;
}

/* The next piece of a frame to its content: bytes written, or -1. */
int frame_read(void *out, int capacity, const void *in, int size) {
  size_t total = 0;
  for (size_t used = 0; used < (size_t)size;) {
    size_t room = (size_t)capacity - total, taken = (size_t)size - used;
    if (LZ4F_isError(LZ4F_decompress(reader, (char *)out + total, &room, (const char *)in + used, &taken, NULL))) return -1;
    if (room == 0 && taken == 0) return -1;
    total += room, used += taken;
  }
  return (int)total;
}

double frame_ratio(void) { return (double)bytesIn / (double)bytesOut; }

int frame_close(void) { return LZ4F_isError(LZ4F_freeDecompressionContext(reader)) ? -1 : 0; }
