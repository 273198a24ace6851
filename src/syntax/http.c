/* http.c: request line and fields of RFC 9112, sections 3 and 5, checked by their grammar; but for how often Host
 * stands there, no field means anything to us. Pure; allocates nothing. */
#include "syntax/http.h"

#define TARGET_MAX 1024

/* RFC 9110, 5.6.2: a method or the name of a field. */
static bool is_token(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		bool plain = ascii_is_alpha(c) || (c >= '0' && c <= '9') || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
		if (!plain)
			return false;
	}
	return text.n > 0;
}

static bool is_visible(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] <= ' ' || (unsigned char)text.p[i] >= 127)
			return false;
	return true;
}

/* RFC 9110, 5.5. */
static bool is_value(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if ((c < ' ' && c != '\t') || c == 127)
			return false;
	}
	return true;
}

/* 3.2.1 and 3.2.2: "/path?query", or "http://host/path?query" as proxies write it. */
static int parse_target(struct str text, struct str *out)
{
	if (text.n == 0 || text.n > TARGET_MAX || !is_visible(text))
		return ERR_SYNTAX;
	if (str_istarts(text, STR("http://"))) {
		text = str_from(text, 7);
		ptrdiff_t slash = str_find_byte(text, '/');
		text = slash >= 0 ? str_from(text, (size_t)slash) : STR("/");
	}
	*out = str_cut(&text, '?');
	return out->n > 0 && out->p[0] == '/' ? 0 : ERR_SYNTAX;
}

/* 2.3: "HTTP/1.1". */
static int parse_version(struct str text, bool *is_1_0)
{
	if (text.n != 8 || !str_starts(text, STR("HTTP/")) || text.p[6] != '.')
		return ERR_SYNTAX;
	char major = text.p[5], minor = text.p[7];
	if (major < '0' || major > '9' || minor < '0' || minor > '9')
		return ERR_SYNTAX;
	*is_1_0 = minor == '0';
	return major == '1' ? 0 : ERR_UNSUPPORTED;
}

static int parse_request_line(struct str line, struct http_request *out, bool *is_1_0)
{
	struct http_request request;
	request.method = str_cut(&line, ' ');
	struct str target = str_cut(&line, ' ');
	if (!is_token(request.method))
		return ERR_SYNTAX;
	int err = parse_target(target, &request.target);
	if (err == 0)
		err = parse_version(line, is_1_0);
	if (err == 0)
		*out = request;
	return err;
}

/* 5: "name: value"; lines that go on (5.2) are refused. */
static int check_field(struct str line, unsigned *hosts)
{
	ptrdiff_t colon = str_find_byte(line, ':');
	if (colon < 0 || !is_token(str_first(line, (size_t)colon)) || !is_value(str_from(line, (size_t)colon + 1)))
		return ERR_SYNTAX;
	*hosts += str_ieq(str_first(line, (size_t)colon), STR("Host"));
	return 0;
}

int http_parse_request(struct str bytes, struct http_request *out)
{
	struct http_request request;
	unsigned hosts = 0;
	bool is_1_0;
	struct str head = str_first(bytes, HTTP_HEAD_MAX);
	ptrdiff_t end = str_find(head, STR("\r\n\r\n"));
	if (end < 0)
		return bytes.n >= HTTP_HEAD_MAX ? ERR_LIMIT : ERR_INCOMPLETE;
	head = str_first(head, (size_t)end);
	ptrdiff_t line_end = str_find(head, STR("\r\n"));
	int err = parse_request_line(str_first(head, line_end < 0 ? head.n : (size_t)line_end), &request, &is_1_0);
	while (err == 0 && line_end >= 0) {
		head = str_from(head, (size_t)line_end + 2);
		line_end = str_find(head, STR("\r\n"));
		err = check_field(str_first(head, line_end < 0 ? head.n : (size_t)line_end), &hosts);
	}
	if (err == 0 && (hosts > 1 || (hosts == 0 && !is_1_0))) /* 3.2 */
		err = ERR_SYNTAX;
	if (err == 0)
		*out = request;
	return err;
}
