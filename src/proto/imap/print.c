/* print.c: numbers two digits at a time, system flags from a table of ready texts that fills itself. Nothing is
 * allocated. */
#include "proto/imap/print.h"

#include "base/checked.h"

static const char digit_pairs[] =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051"
    "5253545556575859606162636465666768697071727374757677787980818283848586878889909192939495969798"
    "99";

char *print_u32(char *p, uint32_t value)
{
	char digits[PRINT_U32_MAX];
	size_t at = sizeof digits;
	while (value >= 100) {
		at -= 2;
		memcpy(digits + at, digit_pairs + value % 100 * 2, 2);
		value /= 100;
	}
	if (value >= 10) {
		at -= 2;
		memcpy(digits + at, digit_pairs + value * 2, 2);
	} else {
		digits[--at] = (char)('0' + value);
	}
	memcpy(p, digits + at, sizeof digits - at);
	return p + (sizeof digits - at);
}

void flags_printer_init(struct flags_printer *printer, const struct mailbox *mailbox)
{
	printer->mailbox = mailbox;
	printer->n_keywords = mailbox_keywords(mailbox, &printer->keywords);
	printer->room = sizeof printer->system[0].text + 2;
	for (size_t i = 0; i < printer->n_keywords; i++)
		printer->room += printer->keywords[i].n + 1;
	for (size_t i = 0; i < PRINT_SYSTEM_FLAGS; i++)
		printer->system[i].n = 0;
}

static void make_system(struct flags_printer *printer, unsigned bits)
{
	static const struct {
		unsigned bit;
		struct str name;
	} names[] = {
		{ FLAG_ANSWERED, STR_INIT("\\Answered") }, { FLAG_FLAGGED, STR_INIT("\\Flagged") },
		{ FLAG_DELETED, STR_INIT("\\Deleted") },   { FLAG_SEEN, STR_INIT("\\Seen") },
		{ FLAG_DRAFT, STR_INIT("\\Draft") },       { PRINT_RECENT, STR_INIT("\\Recent") },
	};
	char *start = printer->system[bits].text, *p = start;
	*p++ = '(';
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!(bits & names[i].bit))
			continue;
		if (p > start + 1)
			*p++ = ' ';
		p = print_str(p, names[i].name);
	}
	printer->system[bits].n = (uint8_t)(p - start);
}

char *flags_print(struct flags_printer *printer, char *p, const struct entry *entry, bool recent)
{
	unsigned bits = (entry->flags & (PRINT_RECENT - 1)) | (recent ? PRINT_RECENT : 0);
	if (printer->system[bits].n == 0)
		make_system(printer, bits);
	p = print_str(p, str_of(printer->system[bits].text, printer->system[bits].n));
	if (printer->n_keywords) {
		struct keyword_bits keywords;
		bool first = printer->system[bits].n == 1;
		entry_keywords(printer->mailbox, entry, &keywords);
		for (size_t word = 0; word < KEYWORD_WORDS; word++) {
			for (uint64_t left = keywords.word[word]; left; left &= left - 1) {
				size_t bit = word * 64 + (size_t)__builtin_ctzll(left);
				if (bit >= printer->n_keywords)
					break;
				if (!first)
					*p++ = ' ';
				first = false;
				p = print_str(p, printer->keywords[bit]);
			}
		}
	}
	*p++ = ')';
	return p;
}

char *modseq_print(char *p, uint64_t modseq)
{
	char digits[20];
	size_t at = sizeof digits;
	do {
		digits[--at] = (char)('0' + modseq % 10);
		modseq /= 10;
	} while (modseq);
	p = print_str(p, STR("MODSEQ ("));
	p = print_str(p, str_of(digits + at, sizeof digits - at));
	return print_str(p, STR(")"));
}

char *fetch_flags_print(struct flags_printer *printer, char *p, uint32_t number, const struct entry *entry, bool recent,
                        unsigned parts)
{
	p = print_str(p, STR("* "));
	p = print_u32(p, number);
	p = print_str(p, STR(" FETCH ("));
	if (parts & PRINT_UID) {
		p = print_str(p, STR("UID "));
		p = print_u32(p, entry->uid);
	}
	if (parts & PRINT_FLAGS) {
		p = print_str(p, parts & PRINT_UID ? STR(" FLAGS ") : STR("FLAGS "));
		p = flags_print(printer, p, entry, recent);
	}
	if (parts & PRINT_MODSEQ) {
		if (parts & (PRINT_UID | PRINT_FLAGS))
			*p++ = ' ';
		p = modseq_print(p, entry->modseq);
	}
	return print_str(p, STR(")\r\n"));
}
