/* page.c: entries in memory and their packed form. Owned by a mailbox's view. Pure but for memory. */
#include "store/page.h"

#include "base/checked.h"
#include "base/mem.h"
#include "base/wire.h"

#include <endian.h>

#define PAGE_VERSION     2
#define PAGE_HEADER_SIZE 20
#define NUMBER_BYTES     5 /* modseqs, ids, messages and sizes are numbers of 40 bits */
#define NUMBER_BITS      (NUMBER_BYTES * 8)
#define PAGE_FIRST_SIZE  8

#define OPEN_END         (UINT64_C(1) << 39) /* in the number of the size */

/* What differs between the versions of the form. */
struct form {
	uint8_t modseq_bytes, size_bytes;
	uint8_t entry_bytes; /* keywords aside */
};
static const struct form forms[] = {
	[1] = { 6, 0, 25 },
	[PAGE_VERSION] = { NUMBER_BYTES, NUMBER_BYTES, 29 },
};

struct page *page_new(struct mailbox *mailbox, uint64_t key, uint32_t uid_base)
{
	struct page *page = mem_alloc(1, sizeof *page);
	page->mailbox = mailbox;
	page->key = key;
	page->uid_base = uid_base;
	return page;
}

void page_free(struct page **pointer)
{
	struct page *page = *pointer;
	*pointer = NULL;
	if (!page)
		return;
	if (page->pasts > 0) {
		page->pasts--;
		return;
	}
	mem_free(page->entries);
	mem_free(page->keywords);
	mem_free(page);
}

struct page *page_copy(const struct page *page)
{
	struct page *copy = mem_alloc(1, sizeof *copy);
	*copy = *page;
	copy->pasts = 0;
	copy->dirty_next = NULL;
	copy->dirty_link = NULL;
	copy->size = MAX(page->n, 1u);
	copy->entries = mem_alloc(copy->size, sizeof *copy->entries);
	if (page->n)
		memcpy(copy->entries, page->entries, page->n * sizeof *copy->entries);
	copy->keywords = page->words ? mem_alloc((size_t)copy->size * page->words, sizeof *copy->keywords) : NULL;
	if (page->words)
		memcpy(copy->keywords, page->keywords, (size_t)page->n * page->words * sizeof *copy->keywords);
	return copy;
}

uint32_t page_slot(const struct page *page, uint32_t uid)
{
	uint32_t low = 0, high = page->n;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (page->entries[middle].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t pages_find(struct page *const *pages, uint32_t n, uint32_t uid)
{
	uint32_t low = 0, high = n;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct page *page = pages[middle];
		if (page->n > 0 && page->entries[page->n - 1].uid < uid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && pages[low]->n == 0 ? n : low;
}

static void make_room(struct page *page, uint32_t n)
{
	if (n <= page->size)
		return;
	page->size = MAX(n, page->size ? page->size * 2 : (uint32_t)PAGE_FIRST_SIZE);
	page->entries = mem_resize(page->entries, page->size, sizeof *page->entries);
	if (page->words)
		page->keywords = mem_resize(page->keywords, (size_t)page->size * page->words, sizeof *page->keywords);
}

/* More words of keyword bits for every entry of the page. */
static void widen(struct page *page, uint32_t words)
{
	if (words <= page->words)
		return;
	uint64_t *wide = mem_alloc((size_t)MAX(page->size, 1u) * words, sizeof *wide);
	for (uint32_t i = 0; i < page->n && page->words; i++)
		memcpy(wide + (size_t)i * words, page->keywords + (size_t)i * page->words, page->words * sizeof *wide);
	mem_free(page->keywords);
	page->keywords = wide;
	page->words = words;
}

static uint32_t words_of(const struct keyword_bits *bits)
{
	uint32_t words = KEYWORD_WORDS;
	while (words > 0 && bits->word[words - 1] == 0)
		words--;
	return words;
}

void page_keywords(const struct page *page, uint32_t slot, struct keyword_bits *out)
{
	*out = (struct keyword_bits){ { 0 } };
	if (page->words)
		memcpy(out->word, page->keywords + (size_t)slot * page->words, page->words * sizeof out->word[0]);
}

void page_set_keywords(struct page *page, uint32_t slot, const struct keyword_bits *keywords)
{
	widen(page, words_of(keywords));
	if (page->words)
		memcpy(page->keywords + (size_t)slot * page->words, keywords->word, page->words * sizeof keywords->word[0]);
}

void page_add(struct page *page, const struct entry *entry, const struct keyword_bits *keywords)
{
	make_room(page, page->n + 1);
	page->entries[page->n++] = *entry;
	page_set_keywords(page, page->n - 1, keywords);
	page->unseen += !(entry->flags & FLAG_SEEN);
	page->bytes += entry_size(entry);
	page->modseq = MAX(page->modseq, entry->modseq);
}

void page_remove(struct page *page, const bool *gone)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < page->n; i++) {
		if (gone[i]) {
			page->unseen -= !(page->entries[i].flags & FLAG_SEEN);
			page->bytes -= entry_size(&page->entries[i]);
			continue;
		}
		page->entries[kept] = page->entries[i];
		if (page->words && kept != i)
			memcpy(page->keywords + (size_t)kept * page->words, page->keywords + (size_t)i * page->words,
			       page->words * sizeof *page->keywords);
		kept++;
	}
	page->n = kept;
}

/* How many bytes hold the highest keyword bit in use. */
static uint32_t keyword_bytes(const struct page *page)
{
	uint64_t any[KEYWORD_WORDS] = { 0 };
	uint32_t bytes = 0;
	for (size_t i = 0; i < (size_t)page->n * page->words; i++)
		any[i % page->words] |= page->keywords[i];
	for (uint32_t i = 0; i < KEYWORD_WORDS * 8; i++)
		if (any[i / 8] >> (i % 8 * 8) & 0xff)
			bytes = i + 1;
	return bytes;
}

static char *put(char *at, uint64_t value, size_t bytes)
{
	value = htole64(value);
	memcpy(at, &value, bytes);
	return at + bytes;
}

void page_encode(const struct page *page, struct buf *out)
{
	uint32_t wide = keyword_bytes(page);
	size_t size = PAGE_HEADER_SIZE + (size_t)page->n * (forms[PAGE_VERSION].entry_bytes + wide);
	char *at = buf_reserve(out, size);
	const struct entry *e = page->entries, *end = e + page->n;
	if (!at)
		return;
	at = put(at, PAGE_VERSION, 1);
	at = put(at, wide, 1);
	at = put(at, page->n, 2);
	at = put(at, page->modseq, 8);
	at = put(at, page->uidnext, 4);
	at = put(at, page->recent, 4);
	for (e = page->entries; e < end; e++)
		at = put(at, e->uid - page->uid_base, 4);
	for (e = page->entries; e < end; e++)
		at = put(at, e->saved, 4);
	for (e = page->entries; e < end; e++)
		at = put(at, e->modseq, NUMBER_BYTES);
	for (e = page->entries; e < end; e++)
		at = put(at, e->message, NUMBER_BYTES);
	for (e = page->entries; e < end; e++)
		at = put(at, e->id, NUMBER_BYTES);
	for (e = page->entries; e < end; e++)
		at = put(at, entry_size(e) | (e->open_end ? OPEN_END : 0), NUMBER_BYTES);
	for (e = page->entries; e < end; e++)
		at = put(at, e->flags, 1);
	for (uint32_t i = 0; i < page->n && wide; i++) {
		struct keyword_bits bits;
		page_keywords(page, i, &bits);
		for (uint32_t k = 0; k < wide; k++)
			at = put(at, bits.word[k / 8] >> (k % 8 * 8), 1);
	}
	buf_commit(out, size);
}

static uint64_t get(const char **at, size_t bytes)
{
	uint64_t value = 0;
	memcpy(&value, *at, bytes);
	*at += bytes;
	return le64toh(value);
}

/* The columns behind the header; lengths were checked. ERR_CORRUPT when uids are out of order or bounds. */
static int decode_entries(const char *at, const struct form *form, uint32_t n, uint32_t wide, uint64_t run_modseq,
                          struct page *page)
{
	struct entry *entries = page->entries;
	uint64_t before = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t uid = get(&at, 4) + page->uid_base;
		if (uid == 0 || uid > UINT32_MAX || uid <= before)
			return ERR_CORRUPT;
		entries[i].uid = (uint32_t)(before = uid);
	}
	for (uint32_t i = 0; i < n; i++)
		entries[i].saved = (uint32_t)get(&at, 4);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t modseq = get(&at, form->modseq_bytes);
		if (modseq >> NUMBER_BITS != 0)
			return ERR_CORRUPT;
		entries[i].modseq = modseq ? modseq : run_modseq;
	}
	for (uint32_t i = 0; i < n; i++)
		entries[i].message = get(&at, NUMBER_BYTES);
	for (uint32_t i = 0; i < n; i++)
		entries[i].id = get(&at, NUMBER_BYTES);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t size = get(&at, form->size_bytes);
		entry_set_size(&entries[i], size & ~OPEN_END);
		entries[i].open_end = (size & OPEN_END) != 0;
		page->bytes += size & ~OPEN_END;
	}
	for (uint32_t i = 0; i < n; i++) {
		entries[i].flags = (uint8_t)get(&at, 1);
		page->unseen += !(entries[i].flags & FLAG_SEEN);
	}
	page->n = n;
	for (uint32_t i = 0; i < n && wide; i++) {
		struct keyword_bits bits = { { 0 } };
		for (uint32_t k = 0; k < wide; k++)
			bits.word[k / 8] |= get(&at, 1) << (k % 8 * 8);
		page_set_keywords(page, i, &bits);
	}
	return 0;
}

int page_decode(struct str blob, uint64_t run_modseq, struct page *page)
{
	const char *at = blob.p;
	if (blob.n < PAGE_HEADER_SIZE)
		return ERR_CORRUPT;
	uint64_t version = get(&at, 1);
	if (version == 0 || version > PAGE_VERSION || run_modseq >> NUMBER_BITS != 0)
		return ERR_CORRUPT;
	const struct form *form = &forms[version];
	uint32_t wide = (uint32_t)get(&at, 1), n = (uint32_t)get(&at, 2);
	if (wide > KEYWORD_WORDS * 8 || blob.n != PAGE_HEADER_SIZE + (size_t)n * (form->entry_bytes + wide))
		return ERR_CORRUPT;
	uint64_t modseq = get(&at, 8);
	if (modseq >> NUMBER_BITS != 0)
		return ERR_CORRUPT;
	page->modseq = MAX(modseq, run_modseq);
	page->uidnext = (uint32_t)get(&at, 4);
	page->recent = (uint32_t)get(&at, 4);
	make_room(page, n);
	return decode_entries(at, form, n, wide, run_modseq, page);
}
