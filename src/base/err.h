/* err.h: the one list of error values. Functions that can fail return 0 or a negative enum err. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/str.h"

/* Put on every function whose result says whether it worked. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* name, number, what it means to a reader of the log */
#define ERR_LIST(X)                                                                                                    \
	X(ERR_SYNTAX, -1, "malformed input")                                                                               \
	X(ERR_LIMIT, -2, "over a limit")                                                                                   \
	X(ERR_INCOMPLETE, -3, "more input needed")                                                                         \
	X(ERR_NOT_FOUND, -4, "not found")                                                                                  \
	X(ERR_EXISTS, -5, "exists already")                                                                                \
	X(ERR_DENIED, -6, "not allowed")                                                                                   \
	X(ERR_STATE, -7, "not possible in this state")                                                                     \
	X(ERR_IO, -8, "input/output error")                                                                                \
	X(ERR_NO_SPACE, -9, "no space left")                                                                               \
	X(ERR_CORRUPT, -10, "stored data is damaged")                                                                      \
	X(ERR_UNAVAILABLE, -11, "not available now, try again")                                                            \
	X(ERR_TIMEOUT, -12, "time ran out")                                                                                \
	X(ERR_CLOSED, -13, "the other side closed")                                                                        \
	X(ERR_UNSUPPORTED, -14, "not supported")                                                                           \
	X(ERR_OVERFLOW, -15, "number out of range")                                                                        \
	X(ERR_QUOTA, -16, "the account is full")                                                                           \
	X(ERR_CONFIG, -17, "the configuration is wrong")                                                                   \
	X(ERR_READ_ONLY, -18, "the file system is read-only")                                                              \
	X(ERR_FILE_TYPE, -19, "a folder, a pipe, a socket or a device, not a file")

enum err {
#define ERR_ENUM(name, number, text) name = number,
	ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
};

/* Name ("ERR_LIMIT") and meaning ("over a limit") of an error; 0 gives "OK". Static memory. */
const char *err_name(int err);
const char *err_text(int err);

/* The enum err that a value of errno means: ENOSPC and EDQUOT are ERR_NO_SPACE, ENOENT is ERR_NOT_FOUND, EROFS is
 * ERR_READ_ONLY, others ERR_IO. */
int err_from_errno(int errnum);

#endif
