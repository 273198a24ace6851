/* mem.c: heap memory that never fails: when there is none the process says so and ends (see mem.h). */
#include "base/mem.h"

#include "base/checked.h"

#include <unistd.h>

static _Noreturn void out_of_memory(void)
{
	static const char line[] = "level=error event=out-of-memory action=exit\n";
	ssize_t ignored = write(2, line, sizeof line - 1);
	(void)ignored;
	_exit(70);
}

void *mem_alloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);
	if (!p)
		out_of_memory();
	return p;
}

void *mem_alloc_unset(size_t n)
{
	void *p = malloc(n ? n : 1);
	if (!p)
		out_of_memory();
	return p;
}

void *mem_room_for_one(void *p, size_t n, size_t size)
{
	bool full = (n & (n - 1)) == 0; /* 0 too */
	size_t room = n ? 2 * n : 1;
	return full || !p ? mem_resize(p, room, size) : p;
}

void *mem_resize(void *p, size_t count, size_t size)
{
	size_t n;
	if (!checked_mul(count, size, &n))
		out_of_memory();
	p = realloc(p, n ? n : 1);
	if (!p)
		out_of_memory();
	return p;
}

char *mem_copy(struct str s)
{
	char *p = mem_alloc(s.n + 1, 1);
	if (s.n)
		memcpy(p, s.p, s.n);
	return p;
}

void mem_free(void *p)
{
	free(p);
}

void mem_wipe(void *p, size_t n)
{
	if (n)
		explicit_bzero(p, n);
}

void mem_wipe_str(struct str secret)
{
	mem_wipe((char *)(uintptr_t)secret.p, secret.n);
}

bool mem_equal_secret(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a, *y = b;
	unsigned char differ = 0;
	for (size_t i = 0; i < n; i++)
		differ |= (unsigned char)(x[i] ^ y[i]);
	return differ == 0;
}
