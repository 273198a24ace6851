/* html.h: the text of an HTML document, for searching: what a reader sees, without tags, comments, scripts and styles,
 * with character references resolved. White space is one blank, and elements that begin a line, a cell or a block
 * give one line feed, whatever stood there; across all others, known or not, text goes on. Any bytes have a text; time is linear, memory constant. */
#ifndef TEXT_HTML_H
#define TEXT_HTML_H

#include "base/buf.h"

#define HTML_NAME_MAX 16 /* a longer name of an element or character is none that we know */

enum html_state {
	HTML_IN_TEXT,
	HTML_IN_OPEN,      /* behind '<' */
	HTML_IN_NAME,      /* of an element */
	HTML_IN_TAG,       /* behind its name */
	HTML_IN_QUOTES,    /* of an attribute */
	HTML_IN_MARKUP,    /* behind "<!" or "<?" */
	HTML_IN_COMMENT,
	HTML_IN_RAW,       /* a script or a style */
	HTML_IN_RAW_OPEN,  /* behind '<' there */
	HTML_IN_RAW_NAME,  /* behind "</" there */
	HTML_IN_REFERENCE, /* behind '&' */
};

/* Where in a document the reader is; zero: at its beginning. Private to html.c. */
struct html_text {
	enum html_state state;
	char quote;
	char name[HTML_NAME_MAX];
	uint8_t n_name;  /* HTML_NAME_MAX + 1: too long */
	uint8_t dashes;  /* behind each other, in markup; in a comment: how near its end may be */
	bool closing;    /* "</name" */
	bool in_value;   /* behind '=': a quote opens a value */
	char raw[8];     /* the element whose end is looked for */
	bool any;        /* something was written */
	char gap;        /* 0, ' ' or '\n': before what is written next */
};

/* The next bytes, UTF-8, cut anywhere between characters. Appends text. */
void html_text_add(struct html_text *html, struct str utf8, struct buf *out);
/* The document is over: a reference that has not ended is text. */
void html_text_end(struct html_text *html, struct buf *out);

/* The charset that a document names in a <meta> within its first bytes (HTML standard, 13.2.3.2, simplified; 1024 there,
 * but there are larger heads); empty: none. The bytes are as they came: a charset of wider units cannot be meant, UTF-8
 * is. */
#define HTML_CHARSET_WITHIN 4096
struct str html_charset(struct str document);

#endif
