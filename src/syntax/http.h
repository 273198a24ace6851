/* http.h: the head of an HTTP/1.x request (RFC 9112), as much of it as the page of metrics needs: who asks for what.
 * There are no bodies, and each connection is for one request. */
#ifndef SYNTAX_HTTP_H
#define SYNTAX_HTTP_H

#include "base/err.h"
#include "base/str.h"

/* A longer head is refused. */
#define HTTP_HEAD_MAX 8192

struct http_request {
	struct str method; /* "GET"; case matters */
	struct str target; /* path, without query: "/metrics"; of an absolute-form target its path */
};

/* Reads a head, from the first byte to the empty line. Slices point into the bytes. ERR_INCOMPLETE: no empty line so
 * far; ERR_LIMIT: and it should have come; ERR_SYNTAX; ERR_UNSUPPORTED: not HTTP/1. */
int http_parse_request(struct str bytes, struct http_request *out) MUST_CHECK;

#endif
