/* Messages of the RFCs and broken ones: the tree, what IMAP prints of it, and the limits. */
#include "syntax/mime.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#define OUT_MAX (8 << 20)

struct parsed {
	struct mime_parser *parser;
	const struct mime_message *message;
};

static struct parsed parse_with(struct str text, struct mime_limits limits)
{
	struct parsed p = { .parser = mime_parser_new(&limits) };
	mime_parser_feed(p.parser, text);
	p.message = mime_parser_finish(p.parser);
	return p;
}

static struct parsed parse(struct str text)
{
	return parse_with(text, MIME_LIMITS_DEFAULT);
}

static void free_parsed(struct parsed *p)
{
	mime_parser_free(&p->parser);
}

static void equal(struct str got, const char *expected)
{
	char *text = mem_copy(got);
	assert_string_equal(text, expected);
	mem_free(text);
}

static void envelope_is(struct str text, const char *expected)
{
	struct parsed p = parse(text);
	struct buf out = BUF_INIT(OUT_MAX);
	envelope_print(p.message, 0, &out);
	equal(buf_str(&out), expected);
	buf_free(&out);
	free_parsed(&p);
}

static void structure_is(struct str text, bool extended, const char *expected)
{
	struct parsed p = parse(text);
	struct buf out = BUF_INIT(OUT_MAX);
	bodystructure_print(p.message, extended, &out);
	equal(buf_str(&out), expected);
	buf_free(&out);
	free_parsed(&p);
}

static void body_is(struct str text, const char *expected)
{
	structure_is(text, false, expected);
}

/* The bytes of a part's body. */
static void part_body_is(struct str text, uint32_t part, const char *expected)
{
	struct parsed p = parse(text);
	assert_true(part < p.message->n_parts);
	const struct mime_part *at = &p.message->parts[part];
	equal(str_of(text.p + at->body_start, at->body_end - at->body_start), expected);
	free_parsed(&p);
}

/* RFC 3501, 8 */
static void envelope_of_the_rfc(void **state)
{
	envelope_is(STR("Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n"
	                "From: Terry Gray <gray@cac.washington.edu>\r\n"
	                "Subject: IMAP4rev1 WG mtg summary and minutes\r\n"
	                "To: imap@cac.washington.edu\r\n"
	                "cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
	                "Message-Id: <B27397-0100000@cac.washington.edu>\r\n"
	                "MIME-Version: 1.0\r\n"
	                "Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n"),
	            "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" "
	            "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	            "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	            "((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) "
	            "((NIL NIL \"imap\" \"cac.washington.edu\")) "
	            "((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL "
	            "\"<B27397-0100000@cac.washington.edu>\")");
}

static void envelope_defaults_and_groups(void **state)
{
	envelope_is(STR(""), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
	envelope_is(STR("Subject:\r\nFrom: a@b\r\nSender: \r\nReply-To: c@d\r\nTo: g:e@f;\r\n\r\n"),
	            "(NIL \"\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"c\" \"d\")) "
	            "((NIL NIL \"g\" NIL)(NIL NIL \"e\" \"f\")(NIL NIL NIL NIL)) NIL NIL NIL NIL)");
	envelope_is(STR("From: joe\r\n\r\n"), "(NIL NIL ((NIL NIL \"joe\" \"\")) ((NIL NIL \"joe\" \"\")) "
	                                      "((NIL NIL \"joe\" \"\")) NIL NIL NIL NIL NIL)");
}

static void envelope_joins_destinations_and_takes_the_first_of_others(void **state)
{
	envelope_is(STR("To: a@b\r\nSubject: 1\r\nTo:\r\n c@d\r\nSubject: 2\r\n\r\n"),
	            "(NIL \"1\" NIL NIL NIL ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")) NIL NIL NIL NIL)");
}

static void envelope_strings_are_valid_grammar(void **state)
{
	envelope_is(STR("Subject: a\r\n \"b\\\r\n\r\n"), "(NIL \"a \\\"b\\\\\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	envelope_is(STR("Subject: caf\xc3\xa9\r\n\r\n"), "(NIL {5}\r\ncaf\xc3\xa9 NIL NIL NIL NIL NIL NIL NIL NIL)");
	envelope_is(STR("Subject: a\0b\r\n\r\n"), "(NIL {2}\r\nab NIL NIL NIL NIL NIL NIL NIL NIL)");
	envelope_is(STR("Subject: a\rb\r\n\r\n"), "(NIL {3}\r\na\rb NIL NIL NIL NIL NIL NIL NIL NIL)");
}

static void simple_bodies(void **state)
{
	body_is(STR(""), "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)");
	body_is(STR("\r\na\r\nb\r\n"), "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 6 2)");
	body_is(STR("Content-Type: IMAGE/Gif; Name=\"a b\"\r\nContent-Transfer-Encoding: BASE64\r\nContent-ID: <1>\r\n"
	            "Content-Description: d\r\n\r\nxx"),
	        "(\"image\" \"gif\" (\"name\" \"a b\") \"<1>\" \"d\" \"base64\" 2)");
	structure_is(STR("Content-MD5: m==\r\nContent-Disposition: inline; filename=x.txt\r\nContent-Language: en, de\r\n"
	                 "Content-Location: http://x\r\n\r\na\r\n"),
	             true,
	             "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 1 \"m==\" (\"inline\" (\"filename\" \"x.txt\")) "
	             "(\"en\" \"de\") \"http://x\")");
	structure_is(STR("Content-Language: en\r\n\r\n"), true,
	             "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL NIL \"en\" NIL)");
	body_is(STR("Content-Type: text\r\n\r\n"), "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)");
	body_is(STR("Content-Type: text/html (c); (c) charset = (c) utf-8 (c)\r\n"
	            "Content-Transfer-Encoding: (c) 8bit\r\n\r\n"),
	        "(\"text\" \"html\" (\"charset\" \"utf-8\") NIL NIL \"8bit\" 0 0)");
}

/* RFC 2046, 5.1.1 */
#define RFC2046                                                                                                        \
	"From: Nathaniel Borenstein <nsb@bellcore.com>\r\n"                                                                \
	"MIME-Version: 1.0\r\n"                                                                                            \
	"Content-type: multipart/mixed; boundary=\"simple boundary\"\r\n\r\n"                                              \
	"This is the preamble.\r\n\r\n"                                                                                    \
	"--simple boundary\r\n\r\n"                                                                                        \
	"This does NOT end with a linebreak.\r\n"                                                                          \
	"--simple boundary \t\r\n"                                                                                         \
	"Content-type: text/plain; charset=us-ascii\r\n\r\n"                                                               \
	"This DOES end with a linebreak.\r\n\r\n"                                                                          \
	"--simple boundary--\r\n\r\n"                                                                                      \
	"This is the epilogue.  It is also to be ignored.\r\n"

static void multipart_of_the_rfc(void **state)
{
	structure_is(STR(RFC2046), true,
	             "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 35 0 NIL NIL NIL NIL)"
	             "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 33 1 NIL NIL NIL NIL) "
	             "\"mixed\" (\"boundary\" \"simple boundary\") NIL NIL NIL)");
	part_body_is(STR(RFC2046), 1, "This does NOT end with a linebreak.");
	part_body_is(STR(RFC2046), 2, "This DOES end with a linebreak.\r\n");
}

static void digest_and_message(void **state)
{
	body_is(STR("Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: in\r\n\r\nx\r\n--b\r\n"
	            "Content-Type: text/html\r\n\r\ny\r\n--b--\r\n"),
	        "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 16 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) "
	        "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0) 2)(\"text\" \"html\" NIL NIL NIL \"7bit\" 1 0) \"digest\")"
	       );
}

static void message_inside_a_message(void **state)
{
	body_is(STR("Content-Type: message/rfc822\r\n\r\nSubject: a\r\nContent-Type: message/rfc822\r\n\r\n"
	            "Subject: b\r\n\r\nc\r\n"),
	        "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 61 (NIL \"a\" NIL NIL NIL NIL NIL NIL NIL NIL) "
	        "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 17 (NIL \"b\" NIL NIL NIL NIL NIL NIL NIL NIL) "
	        "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 3 1) 3) 6)");
	body_is(STR("Content-Type: message/rfc822\r\n"),
	        "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 0 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) "
	        "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0) 0)");
	body_is(STR("Content-Type: message/global\r\n\r\nSubject: a\r\n\r\n"),
	        "(\"message\" \"global\" NIL NIL NIL \"7bit\" 14)");
}

/* RFC 2231, 3, 4 and 4.1 */
static void parameters_of_rfc2231(void **state)
{
	body_is(STR("Content-Type: message/external-body; access-type=URL;\r\n URL*0=\"ftp://\";\r\n"
	            " URL*1=\"cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\"\r\n\r\n"),
	        "(\"message\" \"external-body\" (\"access-type\" \"URL\" \"url\" "
	        "\"ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\") NIL NIL \"7bit\" 0)");
	body_is(STR("Content-Type: application/x-stuff;\r\n"
	            " title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A\r\n\r\n"),
	        "(\"application\" \"x-stuff\" (\"title*\" \"us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A\") NIL NIL "
	        "\"7bit\" 0)");
	body_is(STR("Content-Type: application/x-stuff\r\n    ;title*0*=us-ascii'en'This%20is%20even%20more%20\r\n"
	            "    ;title*1*=%2A%2A%2Afun%2A%2A%2A%20\r\n    ;title*2=\"isn't it!\"\r\n\r\n"),
	        "(\"application\" \"x-stuff\" (\"title*\" "
	        "\"us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!\") NIL NIL \"7bit\" 0)");
	body_is(STR("Content-Type: a/b; n*1=c; n*0=b; m*1=x; k*0=1; k*2=3\r\n\r\n"),
	        "(\"a\" \"b\" (\"n\" \"bc\" \"m*1\" \"x\" \"k\" \"1\" \"k*2\" \"3\") NIL NIL \"7bit\" 0)");
}

static void broken_parameters(void **state)
{
	body_is(STR("Content-Type: a/b; name=my file (1).pdf; x; =y; ;z=\"unclosed\r\n\r\n"),
	        "(\"a\" \"b\" (\"name\" \"my file (1).pdf\" \"z\" \"unclosed\") NIL NIL \"7bit\" 0)");
	body_is(STR("Content-Type: a/b; name=file(1).pdf; e=\r\n\r\n"),
	        "(\"a\" \"b\" (\"name\" \"file(1).pdf\" \"e\" \"\") NIL NIL \"7bit\" 0)");
	/* RFC 2045, 5.1: a token ends at a parenthesis; a comment may hold a semicolon */
	body_is(STR("Content-Type: a/b; c=d(e;f=g); h=i(j)k(l); m=n(o(p;)q); r=s((t;u=v(w)\r\n\r\n"),
	        "(\"a\" \"b\" (\"c\" \"d\" \"h\" \"i(j)k\" \"m\" \"n\" \"r\" \"s((t\" \"u\" \"v\") NIL NIL \"7bit\" 0)");
	structure_is(STR("Content-Disposition: filename=\"a\"\r\n\r\n"), true,
	             "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0 NIL (\"attachment\" (\"filename\" \"a\")) NIL NIL)");
	body_is(STR("Content-Type: a/b; f*=utf-8%20x; g*=''%zz\r\n\r\n"),
	        "(\"a\" \"b\" (\"f*\" \"''utf-8%20x\" \"g*\" \"''%25zz\") NIL NIL \"7bit\" 0)");
}

static void headers_as_they_come(void **state)
{
	body_is(STR("no header at all\r\n"), "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 18 1)");
	part_body_is(STR("Subject: a\r\nnot a field\r\nb"), 0, "not a field\r\nb");
	envelope_is(STR("From x y\r\nSubject : a\r\n\r\n"), "(NIL \"a\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	envelope_is(STR(" first line folded\r\nSubject: a\r\n \r\n b\r\n\r\n"),
	            "(NIL \"a  b\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	envelope_is(STR("Subject: unterminated"), "(NIL \"unterminated\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	part_body_is(STR("Subject: a\n\nb\nc"), 0, "b\nc");
}

static void missing_boundaries(void **state)
{
	body_is(STR("Content-Type: multipart/mixed\r\n\r\nx\r\n"), "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 3 1)");
	body_is(STR("Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n"),
	        "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 4 1)");
	body_is(STR("Content-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n--c\r\n"),
	        "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 8 2)");
	body_is(STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n"),
	        "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 7 1)");
}

#define MIXED "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
#define PLAIN "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" "

static void delimiters_as_they_come(void **state)
{
	body_is(STR(MIXED "--b\r\n\r\nx"), "(" PLAIN "1 0) \"mixed\")");
	body_is(STR(MIXED "--b\r\n\r\nx\r\n--b--"), "(" PLAIN "1 0) \"mixed\")");
	body_is(STR(MIXED "--b\r\n\r\n--bb\r\n--b-\r\n --b\r\n--b--\r\n--b\r\n\r\n"), "(" PLAIN "16 2) \"mixed\")");
	body_is(STR(MIXED "--b\r\n--b\r\n\r\nx\r\n--b--\r\n"), "(" PLAIN "1 0) \"mixed\")");
	body_is(STR(MIXED "--b\r\nContent-Type: text/html\r\n--b\r\n\r\n\r\n--b--\r\n"),
	        "((\"text\" \"html\" NIL NIL NIL \"7bit\" 0 0)" PLAIN "0 0) \"mixed\")");
	body_is(STR("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n\n--b--\n"), "(" PLAIN "2 1) \"mixed\")");
	body_is(STR(MIXED "--b\r\nno header\r\n--b--\r\n"), "(" PLAIN "9 0) \"mixed\")");
}

static void nested_boundaries(void **state)
{
	/* the inner boundary begins with the outer one, and the other way round; the inner one is never closed */
	body_is(STR(MIXED "--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n\r\n"
	            "--bb\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n"),
	        "((" PLAIN "1 0) \"alternative\")" PLAIN "1 0) \"mixed\")");
	body_is(STR("Content-Type: multipart/mixed; boundary=bb\r\n\r\n"
	            "--bb\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
	            "--b\r\n\r\nx\r\n--bb\r\n\r\ny\r\n--bb--\r\n"),
	        "((" PLAIN "1 0) \"alternative\")" PLAIN "1 0) \"mixed\")");
	/* the same boundary twice: the inner one first; its close delimiter gives the rest to the outer one */
	body_is(STR(MIXED "--b\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
	            "--b\r\n\r\nx\r\n--b--\r\n--b\r\n\r\ny\r\n--b--\r\n"),
	        "((" PLAIN "1 0) \"alternative\")" PLAIN "1 0) \"mixed\")");
}

static void facts_about_all_bytes(void **state)
{
	struct {
		struct str text;
		bool pure_crlf, has_nul, has_8bit, dots;
	} cases[] = {
		{ STR_INIT(""), true, false, false, false },
		{ STR_INIT("Subject: a\r\n\r\nb\r\n"), true, false, false, false },
		{ STR_INIT("\na"), false, false, false, false },
		{ STR_INIT("a\r"), false, false, false, false },
		{ STR_INIT("\ra"), false, false, false, false },
		{ STR_INIT("0123456789abcdef0123456789\nabcdef0123456789abcdef"), false, false, false, false },
		{ STR_INIT("0123456789abcdef0123456789\r\n.bcdef0123456789abcdef"), true, false, false, true },
		{ STR_INIT("0123456789abcdef\0" "0123456789abcdef0123456789abcdef"), true, true, false, false },
		{ STR_INIT("0123456789abcdef0123456789abcde\x80" "0123456789abcdef"), true, false, true, false },
		{ STR_INIT("."), true, false, false, true },
		{ STR_INIT("a: b\r\n..\r\n"), true, false, false, true },
		{ STR_INIT("\r\r\n"), false, false, false, false },
		{ STR_INIT("\r\n\r\n.\r\n"), true, false, false, true },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct parsed p = parse(cases[i].text);
		assert_int_equal(p.message->pure_crlf, cases[i].pure_crlf);
		assert_int_equal(p.message->has_nul, cases[i].has_nul);
		assert_int_equal(p.message->has_8bit, cases[i].has_8bit);
		assert_int_equal(p.message->needs_dot_stuffing, cases[i].dots);
		assert_int_equal(p.message->size, cases[i].text.n);
		free_parsed(&p);
	}
	struct parsed p = parse(STR("Subject: a\r\n\r\nb\r\nc"));
	assert_int_equal(p.message->header_size, 14);
	assert_int_equal(p.message->lines, 3);
	free_parsed(&p);
}

/* n levels of multipart, each the only part of the one around it; the memory is the caller's. */
static struct str nested(size_t levels, struct buf *out)
{
	for (size_t i = 0; i < levels; i++)
		buf_addf(out, "Content-Type: multipart/mixed; boundary=b%zu\r\n\r\n--b%zu\r\n", i, i);
	buf_add(out, STR("\r\nx"));
	return buf_str(out);
}

static void over_the_depth_is_opaque(void **state)
{
	struct buf text = BUF_INIT(OUT_MAX);
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	limits.depth = 3;
	struct parsed p = parse_with(nested(10, &text), limits);
	assert_int_equal(p.message->n_parts, 3);
	equal(p.message->parts[2].type, "application");
	assert_int_equal(p.message->parts[2].body_end, text.n);
	free_parsed(&p);
	buf_clear(&text);
	p = parse(nested(1000, &text));
	assert_int_equal(p.message->n_parts, 50);
	free_parsed(&p);
	buf_free(&text);
	limits.depth = 1;
	p = parse_with(STR("Content-Type: message/rfc822\r\n\r\nSubject: a\r\n\r\n"), limits);
	assert_int_equal(p.message->n_parts, 1);
	equal(p.message->parts[0].subtype, "octet-stream");
	free_parsed(&p);
}

static void over_the_parts_is_opaque(void **state)
{
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	limits.parts = 3;
	struct str text = STR(MIXED "--b\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b\r\n\r\n3\r\n--b--\r\n");
	struct parsed p = parse_with(text, limits);
	assert_int_equal(p.message->n_parts, 3);
	const struct mime_part *last = &p.message->parts[2];
	equal(str_of(text.p + last->body_start, last->body_end - last->body_start), "2\r\n--b\r\n\r\n3\r\n--b--\r\n");
	free_parsed(&p);
	limits.parts = 1;
	p = parse_with(text, limits);
	assert_int_equal(p.message->n_parts, 1);
	equal(p.message->parts[0].type, "application");
	free_parsed(&p);
}

/* A multipart of so many messages, each with n times `address` in From. */
static struct str messages_from(size_t messages, const char *address, size_t n, struct buf *out)
{
	buf_add(out, STR(MIXED));
	for (size_t i = 0; i < messages; i++) {
		buf_add(out, STR("--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: "));
		for (size_t k = 0; k < n; k++)
			buf_add(out, str_from_c(address));
		buf_add(out, STR("\r\nSubject: x\r\n\r\n\r\n"));
	}
	buf_add(out, STR("--b--\r\n"));
	return buf_str(out);
}

static void addresses_of_all_envelopes_share_one_room(void **state)
{
	static const char *const addresses[] = { ":;", "a,", "a@b,", "g:a,b;", "\"\\\"\\\"\\\"\"@a," };
	for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
		struct buf text = BUF_INIT(OUT_MAX), out = BUF_INIT(64 << 20);
		struct parsed p = parse(messages_from(40, addresses[i], 300, &text));
		bodystructure_print(p.message, true, &out);
		assert_int_equal(buf_error(&out), 0);
		assert_true(out.n <= MIME_ADDRESSES_BASE + MIME_ADDRESSES_PER_BYTE * text.n + 41 * 250);
		assert_true(out.n > 2 * text.n);
		/* the first ones have theirs, the last none, and all stand in the tree */
		assert_true(str_find(str_first(buf_str(&out), 200), STR("(NIL \"x\" ((")) > 0);
		assert_true(str_find(str_from(buf_str(&out), out.n - 250), STR("(NIL \"x\" NIL NIL NIL NIL NIL NIL NIL NIL)")) > 0);
		free_parsed(&p);
		buf_free(&out);
		buf_free(&text);
	}
}

/* Addresses that fit stay whole; an open group is closed; Sender and Reply-To are From, however little room there is. */
static void a_list_without_room_ends_early_and_whole(void **state)
{
	struct buf text = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	buf_add(&text, STR("From: g:"));
	for (size_t i = 0; i < 4000; i++)
		buf_add(&text, STR("a,"));
	buf_add(&text, STR("\r\nTo: "));
	for (size_t i = 0; i < 4000; i++)
		buf_add(&text, STR("a,"));
	buf_add(&text, STR("\r\n\r\n"));
	struct parsed p = parse(buf_str(&text));
	envelope_print(p.message, 0, &out);
	size_t room = MIME_ADDRESSES_BASE + MIME_ADDRESSES_PER_BYTE * text.n;
	assert_true(out.n <= room + 100 && out.n > room - 100);
	struct str rest = str_from(buf_str(&out), strlen("(NIL NIL "));
	ptrdiff_t n = str_find(rest, STR(")) "));
	struct str from = str_first(rest, (size_t)n + 3);
	assert_true(str_starts(from, STR("((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"\")")));
	assert_true(str_ends(from, STR("(NIL NIL \"a\" \"\")(NIL NIL NIL NIL)) ")));
	assert_true(str_starts(str_from(rest, from.n), from));
	assert_true(str_starts(str_from(rest, 2 * from.n), from));
	free_parsed(&p);
	buf_free(&out);
	buf_free(&text);
}

static void long_lists_of_real_mail_are_whole(void **state)
{
	struct buf text = BUF_INIT(OUT_MAX), out = BUF_INIT(OUT_MAX);
	buf_add(&text, STR("From: a@b.cd\r\nTo: "));
	for (size_t i = 0; i < 4000; i++)
		buf_addf(&text, "u%zu@example.org,\r\n ", i);
	buf_add(&text, STR("last@b.cd\r\nCc: a@b.cd, c@b.cd\r\n\r\n"));
	struct parsed p = parse(buf_str(&text));
	envelope_print(p.message, 0, &out);
	assert_true(str_ends(buf_str(&out), STR("(NIL NIL \"u3999\" \"example.org\")(NIL NIL \"last\" \"b.cd\")) "
	                                        "((NIL NIL \"a\" \"b.cd\")(NIL NIL \"c\" \"b.cd\")) NIL NIL NIL)")));
	free_parsed(&p);
	buf_free(&out);
	buf_free(&text);
}

/* A part for seven bytes of mail would cost more than a hundred of what is kept of it. */
static void a_message_has_no_more_parts_than_its_size_allows(void **state)
{
	struct buf text = BUF_INIT(OUT_MAX);
	buf_add(&text, STR("Content-Type: multipart/digest; boundary=b\r\n\r\n"));
	while (text.n < 7000)
		buf_add(&text, STR("--b\r\n\r\n"));
	struct parsed p = parse(buf_str(&text));
	assert_in_range(p.message->n_parts, MIME_PARTS_BASE, MIME_PARTS_BASE + 10);
	assert_int_equal(p.message->parts[p.message->n_parts - 1].body_end, text.n);
	free_parsed(&p);
	buf_clear(&text);
	buf_add(&text, STR("Content-Type: multipart/mixed; boundary=bound\r\n\r\n"));
	for (int i = 0; i < 900; i++)
		buf_add(&text, STR("--bound\r\nContent-Id: abcd\r\n\r\n.\r\n"));
	p = parse(buf_str(&text));
	assert_int_equal(p.message->n_parts, 901);
	free_parsed(&p);
	buf_free(&text);
}

static void a_message_can_be_taken_for_one_part(void **state)
{
	struct parsed p = parse(STR("Subject: x\r\nContent-Transfer-Encoding: 8BIT\r\n" MIXED "--b\r\n\r\n1\r\n--b--\r\n"));
	struct mime_whole whole;
	struct buf out = BUF_INIT(4096);
	struct mime_range range;
	const struct mime_message *message = mime_as_one_part(p.message, &whole);
	bodystructure_print(message, true, &out);
	equal(buf_str(&out), "(\"application\" \"octet-stream\" NIL NIL NIL \"8bit\" 17 NIL NIL NIL NIL)");
	buf_clear(&out);
	envelope_print(message, 0, &out);
	equal(buf_str(&out), "(NIL \"x\" NIL NIL NIL NIL NIL NIL NIL NIL)");
	buf_clear(&out);
	mime_encode_parts(message, &out);
	assert_int_equal(mime_parts_find(buf_str(&out), (const uint32_t[]){ 1 }, 1, MIME_SECTION_WHOLE, &range), 0);
	assert_int_equal(range.n, 17);
	assert_int_equal(mime_parts_find(buf_str(&out), (const uint32_t[]){ 2 }, 1, MIME_SECTION_WHOLE, &range), ERR_NOT_FOUND);
	free_parsed(&p);
	buf_free(&out);
}

static void over_the_header_limits_fields_are_ignored(void **state)
{
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	limits.header_fields = 1;
	struct parsed p = parse_with(STR("From: a@b\r\nSubject: x\r\n\r\nbody"), limits);
	assert_non_null(p.message->parts[0].envelope->from.p);
	assert_null(p.message->parts[0].envelope->subject.p);
	assert_int_equal(p.message->header_size, 25);
	free_parsed(&p);
	limits = MIME_LIMITS_DEFAULT;
	limits.header_bytes = 20;
	p = parse_with(STR("From: a@b\r\nSubject: longer\r\n than that\r\nTo: a@b\r\n\r\nbody"), limits);
	assert_non_null(p.message->parts[0].envelope->from.p);
	assert_null(p.message->parts[0].envelope->subject.p);
	assert_null(p.message->parts[0].envelope->to.p);
	free_parsed(&p);
	limits = MIME_LIMITS_DEFAULT;
	limits.header_total = 60;
	limits.params = 1;
	p = parse_with(STR("Content-Type: multipart/mixed; boundary=b; x=y\r\n\r\n"
	                   "--b\r\nContent-Type: text/html\r\n\r\n"),
	               limits);
	assert_int_equal(p.message->parts[0].params.n, 1);
	equal(p.message->parts[1].subtype, "plain");
	free_parsed(&p);
}

/* Each open multipart is found by its own boundary, ended ones are not, and the innermost of equals comes first. */
static void boundaries_of_many_levels_are_told_apart(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	for (int i = 0; i < 49; i++)
		buf_addf(&text, "Content-Type: multipart/mixed; boundary=b%d%s\r\n\r\n--b%d%s\r\n", i / 2, i % 2 ? "--" : "", i / 2,
		         i % 2 ? "--" : "");
	for (int i = 0; i < 49; i++)
		buf_addf(&text, "\r\n--c%d\r\n", i); /* nobody's */
	for (int i = 48; i >= 0; i--)
		buf_addf(&text, "--b%d%s--\r\n--b%d%s\r\n", i / 2, i % 2 ? "--" : "", i / 2, i % 2 ? "--" : "");
	struct parsed p = parse(buf_str(&text));
	assert_int_equal(p.message->n_parts, 50);
	for (uint32_t i = 0; i < 49; i++)
		assert_int_equal(p.message->parts[i].kind, MIME_MULTIPART);
	free_parsed(&p);
	buf_free(&text);
}

static void over_the_parameters_of_all_parts_further_ones_are_ignored(void **state)
{
	struct buf text = BUF_INIT(4 << 20);
	uint32_t n = 0;
	buf_add(&text, STR(MIXED));
	for (int i = 0; i < 200; i++) {
		buf_add(&text, STR("--b\r\nContent-Type: text/html"));
		for (int k = 0; k < 64; k++)
			buf_addf(&text, "; p%d=v", k);
		buf_add(&text, STR("\r\nContent-Disposition: inline; filename=x\r\n\r\n"));
	}
	struct parsed p = parse(buf_str(&text));
	assert_int_equal(p.message->n_parts, 201);
	for (uint32_t i = 0; i < p.message->n_parts; i++)
		n += p.message->parts[i].params.n + p.message->parts[i].disposition_params.n;
	assert_int_equal(n, MIME_PARAMS_TOTAL);
	assert_int_equal(p.message->parts[1].params.n, 64);
	assert_int_equal(p.message->parts[200].params.n, 0);
	equal(p.message->parts[200].subtype, "html");
	equal(p.message->parts[200].disposition, "inline");
	free_parsed(&p);
	buf_free(&text);
}

/* Patterns that make a careless parser look again and again, or keep too much. */
static void hostile_messages_are_read_in_linear_time(void **state)
{
	const char *patterns[] = { "To: a\r\n", "--\r\n", "-", "--b0\r\n", " \r\n", "\r\n", "\n", ";a*0=b",
		                       "Content-Type: a/b;a*0=b\r\n", "--b0\r\nContent-Type: message/rfc822\r\n\r\n",
		                       "a: (((((" };
	size_t n = 4 << 20;
	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
		struct buf text = BUF_INIT(2 * n), out = BUF_INIT(64 << 20);
		for (int k = 0; k < 49; k++)
			buf_addf(&text, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", k, k);
		while (text.n < n)
			buf_add(&text, str_from_c(patterns[i]));
		clock_t start = clock(); /* of the processor */
		struct parsed p = parse(buf_str(&text));
		bodystructure_print(p.message, true, &out);
		assert_int_equal(buf_error(&out), 0);
		assert_true(clock() - start < 2 * CLOCKS_PER_SEC);
		free_parsed(&p);
		buf_free(&out);
		buf_free(&text);
	}
}

static void a_parser_can_be_used_again(void **state)
{
	struct mime_limits limits = MIME_LIMITS_DEFAULT;
	struct mime_parser *parser = mime_parser_new(&limits);
	for (int i = 0; i < 3; i++) {
		struct buf out = BUF_INIT(4096);
		mime_parser_feed(parser, STR(RFC2046));
		const struct mime_message *message = mime_parser_finish(parser);
		assert_int_equal(message->n_parts, 3);
		bodystructure_print(message, false, &out);
		assert_int_equal(buf_error(&out), 0);
		buf_free(&out);
		mime_parser_reset(parser);
		mime_parser_feed(parser, STR("To: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
		                             "--b\r\nSubject: left half\r"));
		mime_parser_reset(parser);
	}
	mime_parser_free(&parser);
	assert_null(parser);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(envelope_of_the_rfc),
		cmocka_unit_test(envelope_defaults_and_groups),
		cmocka_unit_test(envelope_joins_destinations_and_takes_the_first_of_others),
		cmocka_unit_test(envelope_strings_are_valid_grammar),
		cmocka_unit_test(simple_bodies),
		cmocka_unit_test(multipart_of_the_rfc),
		cmocka_unit_test(digest_and_message),
		cmocka_unit_test(message_inside_a_message),
		cmocka_unit_test(parameters_of_rfc2231),
		cmocka_unit_test(broken_parameters),
		cmocka_unit_test(headers_as_they_come),
		cmocka_unit_test(missing_boundaries),
		cmocka_unit_test(delimiters_as_they_come),
		cmocka_unit_test(nested_boundaries),
		cmocka_unit_test(facts_about_all_bytes),
		cmocka_unit_test(over_the_depth_is_opaque),
		cmocka_unit_test(over_the_parts_is_opaque),
		cmocka_unit_test(addresses_of_all_envelopes_share_one_room),
		cmocka_unit_test(a_list_without_room_ends_early_and_whole),
		cmocka_unit_test(long_lists_of_real_mail_are_whole),
		cmocka_unit_test(a_message_has_no_more_parts_than_its_size_allows),
		cmocka_unit_test(a_message_can_be_taken_for_one_part),
		cmocka_unit_test(over_the_header_limits_fields_are_ignored),
		cmocka_unit_test(boundaries_of_many_levels_are_told_apart),
		cmocka_unit_test(over_the_parameters_of_all_parts_further_ones_are_ignored),
		cmocka_unit_test(hostile_messages_are_read_in_linear_time),
		cmocka_unit_test(a_parser_can_be_used_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
