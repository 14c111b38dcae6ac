/* scan_neon.h: 16 bytes at a time on 64-bit ARM. A mask has four bits for each byte that stops. */
#ifndef MH_HTTP_SCAN_NEON_H
#define MH_HTTP_SCAN_NEON_H

#include <arm_neon.h>
#include <stdint.h>

#define MH__LANE_BITS 4

typedef uint8x16_t mh__block;
typedef uint64_t mh__mask;

MH__INLINE mh__block mh__load(const char *p)
{
    return vld1q_u8((const uint8_t *)p);
}

MH__INLINE size_t mh__first(mh__mask mask)
{
    return (unsigned)__builtin_ctzll(mask) / MH__LANE_BITS;
}

MH__INLINE mh__mask mh__bits(uint8x16_t b)
{
    uint8x8_t narrow = vshrn_n_u16(vreinterpretq_u16_u8(b), 4);
    return vget_lane_u64(vreinterpret_u64_u8(narrow), 0);
}

MH__INLINE uint8x16_t mh__equal(uint8x16_t b, uint8_t byte)
{
    return vceqq_u8(b, vdupq_n_u8(byte));
}

/* first <= b <= last */
MH__INLINE uint8x16_t mh__between(uint8x16_t b, uint8_t first, uint8_t last)
{
    return vcleq_u8(vsubq_u8(b, vdupq_n_u8(first)), vdupq_n_u8((uint8_t)(last - first)));
}

/* Controls and DEL. */
MH__INLINE mh__mask mh__stops_value(mh__block b)
{
    return mh__bits(vorrq_u8(vcleq_u8(b, vdupq_n_u8(0x1f)), mh__equal(b, 0x7f)));
}

/* Outside of "!" to "~", and 13 bytes inside: " # % < > [ \ ] ^ ` { | } */
MH__INLINE mh__mask mh__stops_target(mh__block b)
{
    uint8x16_t stop = vmvnq_u8(mh__between(b, '!', '~'));
    stop = vorrq_u8(stop, mh__between(b, '"', '#'));
    stop = vorrq_u8(stop, mh__equal(b, '%'));
    stop = vorrq_u8(stop, mh__equal(b, '<'));
    stop = vorrq_u8(stop, mh__equal(b, '>'));
    stop = vorrq_u8(stop, mh__between(b, '[', '^'));
    stop = vorrq_u8(stop, mh__equal(b, '`'));
    stop = vorrq_u8(stop, mh__between(b, '{', '}'));
    return mh__bits(stop);
}

MH__INLINE mh__mask mh__stops_name(mh__block b)
{
    uint8x16_t go = mh__between(vorrq_u8(b, vdupq_n_u8(0x20)), 'a', 'z');
    go = vorrq_u8(go, mh__between(b, '0', '9'));
    go = vorrq_u8(go, mh__between(b, '-', '.'));
    return mh__bits(vmvnq_u8(go));
}

#endif
