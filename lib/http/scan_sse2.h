/* scan_sse2.h: 16 bytes at a time on x86. A mask has one bit for each byte that stops. */
#ifndef MH_HTTP_SCAN_SSE2_H
#define MH_HTTP_SCAN_SSE2_H

#include <emmintrin.h>
#include <stdint.h>

#define MH__LANE_BITS 1

typedef __m128i mh__block;
typedef uint32_t mh__mask;

MH__INLINE mh__block mh__load(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

MH__INLINE size_t mh__first(mh__mask mask)
{
    return (unsigned)__builtin_ctz(mask);
}

MH__INLINE __m128i mh__fill(int byte)
{
    return _mm_set1_epi8((char)byte);
}

/* Unsigned b <= most, which SSE2 does not have. */
MH__INLINE __m128i mh__at_most(__m128i b, int most)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(b, mh__fill(most)), b);
}

MH__INLINE mh__mask mh__bits(__m128i b)
{
    return (mh__mask)_mm_movemask_epi8(b);
}

/* Controls and DEL. */
MH__INLINE mh__mask mh__stops_value(mh__block b)
{
    __m128i del = _mm_cmpeq_epi8(b, mh__fill(0x7f));
    return mh__bits(_mm_or_si128(mh__at_most(b, 0x1f), del));
}

/* Outside of "!" to "~", and 13 bytes inside: " # % < > [ \ ] ^ ` { | } */
MH__INLINE mh__mask mh__stops_target(mh__block b)
{
    /* Signed, so that bytes from 0x80 on are below "!" too. */
    __m128i stop = _mm_cmplt_epi8(b, mh__fill('!'));
    stop = _mm_or_si128(stop, _mm_cmpeq_epi8(b, mh__fill(0x7f)));
    stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_or_si128(b, mh__fill(1)), mh__fill('#')));
    stop = _mm_or_si128(stop, _mm_cmpeq_epi8(b, mh__fill('%')));
    stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_or_si128(b, mh__fill(2)), mh__fill('>')));
    /* [ \ ] and { | } differ in 0x20 only. */
    __m128i braces = _mm_sub_epi8(_mm_or_si128(b, mh__fill(0x20)), mh__fill('{'));
    stop = _mm_or_si128(stop, mh__at_most(braces, 2));
    stop = _mm_or_si128(stop, _mm_cmpeq_epi8(b, mh__fill('^')));
    stop = _mm_or_si128(stop, _mm_cmpeq_epi8(b, mh__fill('`')));
    return mh__bits(stop);
}

MH__INLINE mh__mask mh__stops_name(mh__block b)
{
    __m128i letter = _mm_sub_epi8(_mm_or_si128(b, mh__fill(0x20)), mh__fill('a'));
    __m128i digit = _mm_sub_epi8(b, mh__fill('0'));
    __m128i go = _mm_or_si128(mh__at_most(letter, 25), mh__at_most(digit, 9));
    go = _mm_or_si128(go, mh__at_most(_mm_sub_epi8(b, mh__fill('-')), 1)); /* "-" and "." */
    return mh__bits(go) ^ 0xffffu;
}

#endif
