/* address.c: folding and checking of local parts (libunistring) and domains (libidn2). Pure; results live in the
 * caller's struct. */
#include "auth/address.h"

#include "base/checked.h"

#include <idn2.h>
#include <uninorm.h>
#include <unicase.h>
#include <unictype.h>
#include <unistr.h>

#define LABEL_MAX       63
/* Bytes of a domain in Unicode, which may take more than its A-labels. */
#define UNICODE_NAME_MAX (4 * ADDRESS_DOMAIN_MAX)

void address_copy(struct folded_address *to, const struct folded_address *from)
{
	memcpy(to->text, from->text, sizeof to->text);
	to->local = str_of(to->text, from->local.n);
	to->whole = str_of(to->text, from->whole.n);
	to->domain = str_of(to->text + (from->domain.n ? from->local.n + 1 : 0), from->domain.n);
}

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

/* Appends the folded text at out + *n, as long as it stays within max bytes. */
static int fold(struct str text, size_t max, char *out, size_t *n)
{
	if (text.n > max)
		return ERR_LIMIT;
	if (is_ascii(text)) {
		for (size_t i = 0; i < text.n; i++)
			out[i] = ascii_lower(text.p[i]);
		*n = text.n;
		return 0;
	}
	if (!str_is_utf8(text))
		return ERR_SYNTAX;
	/* a character's lower case may be longer: U+023A has 2 bytes, its lower case 3 */
	uint8_t lower[2 * ADDRESS_DOMAIN_MAX];
	size_t lower_n = 0, at = 0;
	while (at < text.n) {
		ucs4_t character;
		int taken = u8_mbtouc(&character, (const uint8_t *)text.p + at, text.n - at);
		int put = u8_uctomb(lower + lower_n, uc_tolower(character), (ptrdiff_t)(sizeof lower - lower_n));
		if (put < 0)
			return ERR_LIMIT;
		at += (size_t)taken;
		lower_n += (size_t)put;
	}
	uint8_t normal[sizeof lower];
	size_t normal_n = sizeof normal;
	uint8_t *result = u8_normalize(UNINORM_NFC, lower, lower_n, normal, &normal_n);
	if (result != normal) { /* did not fit and was allocated, or no memory */
		free(result);
		return ERR_LIMIT;
	}
	if (normal_n > max)
		return ERR_LIMIT;
	memcpy(out, normal, normal_n);
	*n = normal_n;
	return 0;
}

static bool has_control_characters(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

static bool label_is_good(struct str label)
{
	if (label.n == 0 || label.n > LABEL_MAX || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		char c = label.p[i];
		if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '-' && c != '_')
			return false;
	}
	return true;
}

static int domain_read_ascii(struct str text, char *out, size_t *n)
{
	if (str_ends(text, STR(".")))
		text.n--;
	if (text.n > ADDRESS_DOMAIN_MAX)
		return ERR_LIMIT;
	struct str rest = text;
	do {
		if (!label_is_good(str_cut(&rest, '.')))
			return ERR_SYNTAX;
	} while (rest.p);
	for (size_t i = 0; i < text.n; i++)
		out[i] = ascii_lower(text.p[i]);
	*n = text.n;
	return 0;
}

/* Case, width and normalisation are folded on the way (UTS 46, non-transitional: ß stays itself). */
static int domain_read_unicode(struct str text, char *out, size_t *n)
{
	char name[UNICODE_NAME_MAX + 1];
	uint8_t *ascii = NULL;
	if (text.n > UNICODE_NAME_MAX)
		return ERR_LIMIT;
	if (!str_is_utf8(text) || has_control_characters(text))
		return ERR_SYNTAX;
	memcpy(name, text.p, text.n);
	name[text.n] = '\0';
	int result = idn2_lookup_u8((const uint8_t *)name, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (result == IDN2_MALLOC)
		abort();
	if (result != IDN2_OK)
		return result == IDN2_TOO_BIG_DOMAIN || result == IDN2_TOO_BIG_LABEL ? ERR_LIMIT : ERR_SYNTAX;
	int err = domain_read_ascii(str_from_c((const char *)ascii), out, n);
	idn2_free(ascii);
	return err;
}

int domain_read(struct str text, char *out, size_t *n)
{
	return is_ascii(text) ? domain_read_ascii(text, out, n) : domain_read_unicode(text, out, n);
}

int address_read(struct str text, struct folded_address *out)
{
	struct folded_address address = { .text = "" };
	ptrdiff_t at = -1;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '@')
			at = (ptrdiff_t)i;
	struct str local = at < 0 ? text : str_first(text, (size_t)at);
	if (local.n == 0 || has_control_characters(local))
		return ERR_SYNTAX;
	size_t local_n, domain_n = 0;
	int err = fold(local, ADDRESS_LOCAL_MAX, address.text, &local_n);
	if (err)
		return err;
	if (at >= 0) {
		address.text[local_n] = '@';
		err = domain_read(str_from(text, (size_t)at + 1), address.text + local_n + 1, &domain_n);
		if (err)
			return err;
	}
	address.local = str_of(address.text, local_n);
	address.domain = str_of(address.text + (domain_n ? local_n + 1 : 0), domain_n);
	address.whole = str_of(address.text, domain_n ? local_n + 1 + domain_n : local_n);
	address.text[address.whole.n] = '\0';
	address_copy(out, &address);
	return 0;
}

/* RFC 5322 atext, with UTF-8 as RFC 6531, 3.3 adds. */
static bool is_atext(char c)
{
	return ascii_is_alpha(c) || ascii_is_digit(c) || (unsigned char)c >= 0x80 ||
	       str_find_byte(STR("!#$%&'*+-/=?^_`{|}~"), c) >= 0;
}

int address_read_new(struct str text, struct folded_address *out)
{
	struct folded_address address = { .text = "" };
	int err = address_read(text, &address);
	if (err)
		return err;
	if (address.domain.n == 0)
		return ERR_SYNTAX;
	struct str rest = address.local;
	do {
		struct str atom = str_cut(&rest, '.');
		if (atom.n == 0)
			return ERR_SYNTAX;
		for (size_t i = 0; i < atom.n; i++)
			if (!is_atext(atom.p[i]))
				return ERR_SYNTAX;
	} while (rest.p);
	address_copy(out, &address);
	return 0;
}
