/* cold_read.h: file ranges that are not in the page cache: how to know, and how to get them there without waiting.
 * The loop's read helper (loop_set_read_helper) waits for the disk instead. */
#ifndef LOOP_COLD_READ_H
#define LOOP_COLD_READ_H

#include "loop/loop.h"

/* One job's bytes at most. */
#define COLD_READ_MAX (256 * 1024)

/* Reads at once what is in the page cache: bytes, 0 at the end of the file, ERR_INCOMPLETE when it would have to
 * wait for the disk, ERR_IO. A file system that cannot tell is read as it is. */
ssize_t cold_read_try(int fd, uint64_t offset, char *to, size_t n) MUST_CHECK;

/* Would reading this range wait for the disk? By samples: its first page, its last, and those between at regular
 * distances. */
bool cold_read_needed(int fd, uint64_t offset, uint64_t n);

struct cold_read;

/* Has the range (at most COLD_READ_MAX bytes of it) read by the helper, then calls done on the loop; an error shows
 * when the owner reads itself. The read is the owner's until done is called or it is forgotten. */
struct cold_read *cold_read_begin(struct loop *loop, int fd, uint64_t offset, uint64_t n, void (*done)(void *owner),
                                  void *owner) __attribute__((returns_nonnull));

/* done will not be called; the descriptor may be closed (what the helper then reads there goes nowhere). Accepts
 * NULL. */
void cold_read_forget(struct cold_read **read);

#endif
