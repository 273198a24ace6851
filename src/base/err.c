/* err.c: names and meanings of errors, from the one list in err.h. Pure. */
#include "base/err.h"

#include <errno.h>

const char *err_name(int err)
{
	switch (err) {
#define ERR_CASE(name, number, text)                                                                                   \
	case name:                                                                                                         \
		return #name;
		ERR_LIST(ERR_CASE)
#undef ERR_CASE
	}
	return err == 0 ? "OK" : "ERR_UNKNOWN";
}

const char *err_text(int err)
{
	switch (err) {
#define ERR_CASE(name, number, text)                                                                                   \
	case name:                                                                                                         \
		return text;
		ERR_LIST(ERR_CASE)
#undef ERR_CASE
	}
	return err == 0 ? "ok" : "unknown error";
}

int err_from_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
		return ERR_NO_SPACE;
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	case EROFS:
		return ERR_READ_ONLY;
	}
	return ERR_IO;
}
