/* str.h: slices of bytes that somebody else owns. Everything that crosses a function boundary as text is a slice;
 * NUL-terminated strings live only at libc's edge. A slice may hold any byte, NUL included. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p; /* may be NULL only when n is 0 */
	size_t n;
};

/* A slice of a string literal. */
#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
/* The same where a constant initialiser is needed. */
#define STR_INIT(literal) { "" literal, sizeof(literal) - 1 }
/* For printf's %.*s. */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *p, size_t n)
{
	return (struct str){ p, n };
}

/* From a NUL-terminated string; NULL gives the empty slice. */
static inline struct str str_from_c(const char *c)
{
	return (struct str){ c, c ? strlen(c) : 0 };
}

static inline bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* From byte `at` to the end; past the end gives the empty slice. */
static inline struct str str_from(struct str s, size_t at)
{
	return at >= s.n ? (struct str){ s.p, 0 } : (struct str){ s.p + at, s.n - at };
}

/* The first n bytes, or all if it is shorter. */
static inline struct str str_first(struct str s, size_t n)
{
	return (struct str){ s.p, n < s.n ? n : s.n };
}

static inline bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_first(s, prefix.n), prefix);
}

static inline bool str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_from(s, s.n - suffix.n), suffix);
}

/* ASCII only: the byte in lower or upper case, whatever the locale. */
static inline char ascii_lower(char c)
{
	return (c >= 'A' && c <= 'Z') ? (char)(c + 32) : c;
}

static inline char ascii_upper(char c)
{
	return (c >= 'a' && c <= 'z') ? (char)(c - 32) : c;
}

static inline bool ascii_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool ascii_is_alpha(char c)
{
	return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

/* The value of a hexadecimal digit of either case, -1 for another byte. */
static inline int ascii_hex_value(char c)
{
	c = ascii_lower(c);
	return ascii_is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Equality and order with ASCII letters of either case the same. */
bool str_ieq(struct str a, struct str b);
bool str_istarts(struct str s, struct str prefix);

/* <0, 0, >0 by bytes, the shorter first. */
int str_cmp(struct str a, struct str b);

/* Offset of a byte or of a needle, -1 if it is not there. An empty needle is at 0. */
ptrdiff_t str_find_byte(struct str s, char c);
ptrdiff_t str_find(struct str s, struct str needle);

/* Without spaces and tabs (CR and LF too) at both ends. */
struct str str_trim(struct str s);

/* Cuts *rest at the first `separator`: returns what stands before it, *rest becomes what comes after.
 * Without a separator returns all and *rest becomes empty with p == NULL (so that loops can tell the end). */
struct str str_cut(struct str *rest, char separator);

/* A whole slice of decimal digits, at most `max`. ERR_SYNTAX if empty or another byte is in it, ERR_OVERFLOW beyond
 * max. */
int str_to_u64(struct str s, uint64_t max, uint64_t *out) __attribute__((warn_unused_result));

/* Two hexadecimal digits of either case for each of n bytes, nothing else. ERR_SYNTAX. */
int str_to_bytes(struct str s, unsigned char *out, size_t n) __attribute__((warn_unused_result));

/* True when the slice is well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). */
bool str_is_utf8(struct str s);

/* 64-bit hash for tables in memory (keyed by a random seed of the process). */
uint64_t str_hash(struct str s);

#endif
