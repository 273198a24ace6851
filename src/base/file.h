/* file.h: whole reads and writes of files, blocking, going on after interruptions and short counts. For disk files and
 * pipes of our own; what talks to the network uses streams (loop/stream.h). Owns no descriptor. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

/* All bytes, where the descriptor stands; or at an offset. ERR_NO_SPACE, ERR_IO, or what errno means; how much was
 * written then is not said. */
int file_write(int fd, struct str bytes) MUST_CHECK;
int file_write_at(int fd, uint64_t at, struct str bytes) MUST_CHECK;

/* n bytes from an offset; *got is less only at the end of the file. */
int file_read_at(int fd, uint64_t at, char *to, size_t n, size_t *got) MUST_CHECK;

/* Exactly n bytes. ERR_CORRUPT when the file ends before. */
int file_read_exactly(int fd, uint64_t at, char *to, size_t n) MUST_CHECK;

/* n bytes of a file that may be on a damaged disk: blocks of 4 KB that cannot be read are zeros. Returns how many; fewer
 * than n only at the end of the file. */
size_t file_read_or_zeros(int fd, uint64_t at, char *to, size_t n) MUST_CHECK;

/* Everything from where the descriptor stands to its end. ERR_LIMIT when that is more than out->max. */
int file_read_rest(int fd, struct buf *out) MUST_CHECK;

/* The whole file of this name below the folder (AT_FDCWD: the working folder); open_flags: 0 or O_NOFOLLOW. Never waits
 * for anybody: ERR_FILE_TYPE when it is no plain file (/dev/stdin is what it leads to). */
int file_read(int folder, const char *name, int open_flags, struct buf *out) MUST_CHECK;

/* The same for what a person has named on a command line: a pipe (/dev/stdin, <(...) of a shell) or a device is read to
 * its end, and waited for. ERR_FILE_TYPE: a folder or a socket. */
int file_read_given(const char *name, struct buf *out) MUST_CHECK;

/* What was written to the file is on disk when it returns; of a folder: what was made, renamed or removed in it, which
 * fdatasync does not promise. ERR_IO: never to be tried again. */
int file_sync(int fd, bool is_folder) MUST_CHECK;

/* What was made, renamed or removed in the folder of this name (below `folder`) is on disk when it returns. */
int file_sync_folder(int folder, const char *name) MUST_CHECK;

#endif
