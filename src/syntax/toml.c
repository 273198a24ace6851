/* toml.c: reads TOML 1.0 in one pass by recursive descent: statement, header, key, value; toml_scan.c reads the words.
 *
 * Two structures grow: the entries that the caller gets, and the names (a hash table of paths) that tell what has been
 * defined and how; both are bounded by TOML_ENTRIES_MAX. Names and scratch buffers end with the parser. An error is
 * noted with its place, its line is skipped and reading goes on; inside arrays and multi-line strings, where
 * the next line means nothing alone, it ends. */
#include "syntax/toml_scan.h"

#include "base/checked.h"
#include "base/mem.h"

#define NAME_SLOTS_FIRST 256

/* How a name came to be decides what may still be added to it. */
enum name_kind {
	NAME_VALUE,   /* a value, an array or an inline table: nothing can be added */
	NAME_HEADER,  /* a table with a [header] of its own */
	NAME_IMPLIED, /* a table that a longer [header] named on its way; its own may follow */
	NAME_DOTTED,  /* a table made by dotted keys; only dotted keys of the same section add to it */
	NAME_TABLES,  /* an array of tables, [[header]] */
};

struct name {
	struct str path;
	enum name_kind kind;
	uint32_t line;    /* of the definition */
	uint32_t section; /* NAME_DOTTED: where it may grow */
	uint32_t count;   /* NAME_TABLES: elements so far */
	uint32_t entry;   /* NAME_TABLES: index of its TOML_ARRAY entry */
};

struct names {
	struct name *list;
	size_t n, size;
	uint32_t *slots; /* index into list, plus one; 0 is free */
	size_t slots_n;  /* a power of two */
};

struct key {
	struct str name; /* decoded */
	struct toml_place place;
};

struct keys {
	struct key list[TOML_DEPTH_MAX];
	size_t n;
};

struct parser {
	struct toml_scan scan;
	struct names names;
	struct buf path;     /* of the value that is being read */
	size_t table_n;      /* how much of path belongs to the [table] in force */
	uint32_t section;    /* number of the [table] or inline table in force */
	uint32_t sections;   /* numbers given so far */
	size_t entries_size;
	bool lost;           /* after a bad [header]: what follows belongs nowhere and is only checked for its syntax */
};

static int value_parse(struct parser *p, struct toml_place key_place);
static int key_value_parse(struct parser *p);

/* ---- names: what has been defined ---- */

static size_t name_slot(const struct names *names, struct str path)
{
	size_t slot = str_hash(path) & (names->slots_n - 1);
	while (names->slots[slot] != 0 && !str_eq(names->list[names->slots[slot] - 1].path, path))
		slot = (slot + 1) & (names->slots_n - 1);
	return slot;
}

static struct name *name_find(const struct names *names, struct str path)
{
	if (names->slots_n == 0)
		return NULL;
	uint32_t at = names->slots[name_slot(names, path)];
	return at == 0 ? NULL : &names->list[at - 1];
}

static void names_grow(struct names *names)
{
	names->slots_n = names->slots_n ? 2 * names->slots_n : NAME_SLOTS_FIRST;
	names->size = names->slots_n / 2;
	names->list = mem_resize(names->list, names->size, sizeof *names->list);
	mem_free(names->slots);
	names->slots = mem_alloc(names->slots_n, sizeof *names->slots);
	for (uint32_t i = 0; i < names->n; i++)
		names->slots[name_slot(names, names->list[i].path)] = i + 1;
}

/* A new name for p->path, which is not there yet; valid until the next one is added. */
static int name_add(struct parser *p, enum name_kind kind, struct toml_place place, struct name **out)
{
	struct names *names = &p->names;
	struct str path;
	if (names->n == TOML_ENTRIES_MAX)
		return toml_fail_at(&p->scan, ERR_LIMIT, place, "more than %d names in one file", TOML_ENTRIES_MAX);
	if (arena_copy(&p->scan.out->arena, buf_str(&p->path), &path) < 0)
		return toml_fail_memory(&p->scan, place);
	if (names->n == names->size)
		names_grow(names);
	size_t slot = name_slot(names, path);
	names->list[names->n] =
		(struct name){ .path = path, .kind = kind, .line = place.line, .section = p->section };
	*out = &names->list[names->n++];
	names->slots[slot] = (uint32_t)names->n;
	return 0;
}

/* ---- paths and entries ---- */

static int path_check(struct parser *p, struct toml_place place)
{
	if (buf_error(&p->path) < 0)
		return toml_fail_at(&p->scan, ERR_LIMIT, place, "a name longer than %d bytes", TOML_PATH_MAX);
	return 0;
}

static int path_add_key(struct parser *p, const struct key *key)
{
	bool bare = key->name.n > 0;
	for (size_t i = 0; i < key->name.n; i++)
		bare = bare && toml_is_bare(key->name.p[i]);
	if (p->path.n > 0)
		buf_add_byte(&p->path, '.');
	if (bare)
		buf_add(&p->path, key->name);
	else
		toml_print_string(key->name, &p->path);
	return path_check(p, key->place);
}

static int path_add_index(struct parser *p, size_t index, struct toml_place place)
{
	buf_add_byte(&p->path, '[');
	buf_add_u64(&p->path, index);
	buf_add_byte(&p->path, ']');
	return path_check(p, place);
}

static void path_cut(struct parser *p, size_t n)
{
	p->path.n = n;
	p->path.failed = false;
}

/* Adds an entry under p->path; its index goes to *at when that is not NULL. */
static int entry_add(struct parser *p, struct toml_entry entry, size_t *at)
{
	struct toml *out = p->scan.out;
	if (out->n == TOML_ENTRIES_MAX)
		return toml_fail_at(&p->scan, ERR_LIMIT, entry.value, "more than %d values in one file",
			TOML_ENTRIES_MAX);
	if (arena_copy(&out->arena, buf_str(&p->path), &entry.path) < 0)
		return toml_fail_memory(&p->scan, entry.value);
	if (out->n == p->entries_size) {
		p->entries_size = p->entries_size ? 2 * p->entries_size : 64;
		out->entries = mem_resize(out->entries, p->entries_size, sizeof *out->entries);
	}
	if (at)
		*at = out->n;
	out->entries[out->n++] = entry;
	return 0;
}

/* ---- keys ---- */

static int simple_key_parse(struct parser *p, struct key *out)
{
	out->place = p->scan.place;
	if (toml_peek(&p->scan) == '"' || toml_peek(&p->scan) == '\'')
		return toml_string_parse(&p->scan, false, &out->name);
	const char *begin = p->scan.p;
	while (p->scan.p < p->scan.end && toml_is_bare(*p->scan.p))
		toml_take(&p->scan, 1);
	out->name = str_of(begin, (size_t)(p->scan.p - begin));
	return out->name.n ? 0 : toml_fail(&p->scan, "expected a key");
}

static int keys_parse(struct parser *p, struct keys *out)
{
	out->n = 0;
	do {
		toml_skip_spaces(&p->scan);
		if (out->n == TOML_DEPTH_MAX)
			return toml_fail_at(&p->scan, ERR_LIMIT, p->scan.place, "more than %d keys in a dotted key",
				TOML_DEPTH_MAX);
		int err = simple_key_parse(p, &out->list[out->n++]);
		if (err < 0)
			return err;
		toml_skip_spaces(&p->scan);
	} while (toml_take_if(&p->scan, '.'));
	return 0;
}

/* Names the path of a key and value; the tables on the way are made by dotted keys. */
static int keys_define_value(struct parser *p, const struct keys *keys)
{
	for (size_t i = 0; i < keys->n; i++) {
		struct toml_place place = keys->list[i].place;
		bool last = i + 1 == keys->n;
		int err = path_add_key(p, &keys->list[i]);
		if (err < 0)
			return err;
		if (p->lost)
			continue;
		struct name *name = name_find(&p->names, buf_str(&p->path));
		if (!name) {
			err = name_add(p, last ? NAME_VALUE : NAME_DOTTED, place, &name);
			if (err < 0)
				return err;
		} else if (last || name->kind != NAME_DOTTED || name->section != p->section) {
			return toml_fail_at(&p->scan, ERR_SYNTAX, place, "%.*s is defined already, in line %u",
				STR_ARG(name->path), (unsigned)name->line);
		}
	}
	return 0;
}

/* Appends to p->path one key on the way to the last key of a header. */
static int header_define_way(struct parser *p, const struct key *key)
{
	int err = path_add_key(p, key);
	if (err < 0)
		return err;
	struct name *name = name_find(&p->names, buf_str(&p->path));
	if (!name)
		return name_add(p, NAME_IMPLIED, key->place, &name);
	if (name->kind == NAME_VALUE)
		return toml_fail_at(&p->scan, ERR_SYNTAX, key->place, "%.*s is a value, not a table, since line %u",
			STR_ARG(name->path), (unsigned)name->line);
	return name->kind == NAME_TABLES ? path_add_index(p, name->count - 1, key->place) : 0;
}

/* The last key of a [header] or [[header]]: defines the table and adds its entry. */
static int header_define(struct parser *p, const struct key *key, bool element)
{
	struct toml_entry entry = { .type = TOML_TABLE, .key = key->place, .value = key->place };
	int err = path_add_key(p, key);
	if (err < 0)
		return err;
	struct name *name = name_find(&p->names, buf_str(&p->path));
	if (name && !(element && name->kind == NAME_TABLES) && !(!element && name->kind == NAME_IMPLIED))
		return toml_fail_at(&p->scan, ERR_SYNTAX, key->place, "%.*s is defined already, in line %u",
			STR_ARG(name->path), (unsigned)name->line);
	if (!name) {
		err = name_add(p, element ? NAME_TABLES : NAME_HEADER, key->place, &name);
		if (err < 0)
			return err;
		if (element) {
			struct toml_entry array = { .type = TOML_ARRAY, .key = key->place, .value = key->place };
			size_t at;
			err = entry_add(p, array, &at);
			if (err < 0)
				return err;
			name->entry = (uint32_t)at;
		}
	}
	if (element) {
		p->scan.out->entries[name->entry].count = ++name->count;
		err = path_add_index(p, name->count - 1, key->place);
		if (err < 0)
			return err;
	} else {
		name->kind = NAME_HEADER;
		name->line = key->place.line;
	}
	return entry_add(p, entry, NULL);
}

/* ---- arrays and inline tables ---- */

static int array_parse(struct parser *p, struct toml_entry entry)
{
	size_t at, count = 0, path_n = p->path.n;
	entry.type = TOML_ARRAY;
	int err = entry_add(p, entry, &at);
	if (err < 0)
		return err;
	p->scan.ends_here = true;
	toml_take(&p->scan, 1);
	for (;;) {
		err = toml_skip_lines(&p->scan);
		if (err < 0)
			return err;
		if (toml_take_if(&p->scan, ']'))
			break;
		err = path_add_index(p, count, p->scan.place);
		if (err < 0)
			return err;
		err = value_parse(p, p->scan.place);
		if (err < 0)
			return err;
		path_cut(p, path_n);
		count++;
		err = toml_skip_lines(&p->scan);
		if (err < 0)
			return err;
		if (!toml_take_if(&p->scan, ',') && toml_peek(&p->scan) != ']')
			return toml_fail(&p->scan, "expected a comma or the ] that closes the array of line %u",
				(unsigned)entry.value.line);
	}
	p->scan.out->entries[at].count = count;
	return 0;
}

static int inline_table_parse(struct parser *p, struct toml_entry entry)
{
	uint32_t outer = p->section;
	entry.type = TOML_TABLE;
	int err = entry_add(p, entry, NULL);
	if (err < 0)
		return err;
	p->section = ++p->sections;
	toml_take(&p->scan, 1);
	toml_skip_spaces(&p->scan);
	if (!toml_take_if(&p->scan, '}')) {
		do {
			toml_skip_spaces(&p->scan);
			err = key_value_parse(p);
			if (err < 0)
				return err;
			toml_skip_spaces(&p->scan);
		} while (toml_take_if(&p->scan, ','));
		if (!toml_take_if(&p->scan, '}'))
			return toml_fail(&p->scan, "expected a comma or the } that closes the table, on the same line");
	}
	p->section = outer;
	return 0;
}

/* ---- values and statements ---- */

static int nested_parse(struct parser *p, struct toml_entry entry)
{
	bool ends_here = p->scan.ends_here;
	if (p->scan.depth == TOML_DEPTH_MAX)
		return toml_fail_at(&p->scan, ERR_LIMIT, p->scan.place, "arrays and tables nested deeper than %d",
			TOML_DEPTH_MAX);
	p->scan.depth++;
	int err = toml_peek(&p->scan) == '[' ? array_parse(p, entry) : inline_table_parse(p, entry);
	p->scan.depth--;
	if (err == 0)
		p->scan.ends_here = ends_here;
	return err;
}

/* A value, as an entry under p->path. */
static int value_parse(struct parser *p, struct toml_place key_place)
{
	struct toml_entry entry = { .type = TOML_STRING, .key = key_place, .value = p->scan.place };
	int c = toml_peek(&p->scan), err;
	if (c == '[' || c == '{')
		return nested_parse(p, entry);
	if (c == '"' || c == '\'')
		err = toml_string_parse(&p->scan, true, &entry.string);
	else
		err = toml_token_parse(&p->scan, &entry);
	return err < 0 ? err : entry_add(p, entry, NULL);
}

/* keyval = key "=" value; leaves p->path as it was when all went well. */
static int key_value_parse(struct parser *p)
{
	struct keys keys;
	size_t path_n = p->path.n;
	struct toml_place place = p->scan.place;
	int err = keys_parse(p, &keys);
	if (err < 0)
		return err;
	if (!toml_take_if(&p->scan, '='))
		return toml_fail(&p->scan, "expected = after the key");
	err = keys_define_value(p, &keys);
	if (err < 0)
		return err;
	toml_skip_spaces(&p->scan);
	if (p->scan.p == p->scan.end || toml_at_newline(&p->scan) || toml_peek(&p->scan) == '#')
		return toml_fail(&p->scan, "expected a value after =");
	err = value_parse(p, place);
	path_cut(p, path_n);
	return err;
}

static int header_parse(struct parser *p)
{
	struct keys keys;
	toml_take(&p->scan, 1);
	bool element = toml_take_if(&p->scan, '[');
	p->lost = true; /* until it is known where what follows belongs */
	path_cut(p, 0);
	p->table_n = 0;
	p->section = ++p->sections;
	int err = keys_parse(p, &keys);
	if (err < 0)
		return err;
	if (!toml_take_if(&p->scan, ']') || (element && !toml_take_if(&p->scan, ']')))
		return toml_fail(&p->scan, "expected %s after the name of the table", element ? "]]" : "]");
	for (size_t i = 0; err == 0 && i < keys.n; i++)
		err = i + 1 < keys.n ? header_define_way(p, &keys.list[i]) : header_define(p, &keys.list[i], element);
	if (err < 0)
		return err;
	p->lost = false;
	p->table_n = p->path.n;
	return 0;
}

/* expression = [ keyval / table ] [ comment ], up to the line end */
static int statement_parse(struct parser *p)
{
	struct toml_scan *scan = &p->scan;
	size_t entries = scan->out->n;
	uint32_t section = p->section;
	int err = 0;
	path_cut(p, p->table_n);
	toml_skip_spaces(scan);
	if (toml_peek(scan) == '[') {
		err = header_parse(p);
	} else if (scan->p < scan->end && !toml_at_newline(scan) && toml_peek(scan) != '#') {
		err = key_value_parse(p);
		p->section = section;
		if (err < 0 || p->lost)
			scan->out->n = entries;
	}
	if (err < 0)
		return err;
	toml_skip_spaces(scan);
	err = toml_skip_comment(scan);
	if (err == 0 && scan->p < scan->end && !toml_at_newline(scan))
		err = toml_fail(scan, "expected the end of the line");
	return err;
}

/* Statement after statement; what is left of a bad line is skipped. */
static void statements_parse(struct parser *p)
{
	struct toml_scan *scan = &p->scan;
	while (scan->p < scan->end) {
		scan->depth = 0;
		scan->ends_here = false;
		if (statement_parse(p) < 0) {
			if (scan->ends_here || scan->out->errors_n == TOML_ERRORS_MAX)
				return;
			while (scan->p < scan->end && *scan->p != '\n')
				toml_take(scan, 1);
		}
		if (scan->p < scan->end)
			toml_take_newline(scan);
	}
}

int toml_parse(struct str text, struct toml *out)
{
	struct parser p = { .path = BUF_INIT(TOML_PATH_MAX) };
	*out = (struct toml){ .arena = ARENA_INIT(TOML_ARENA_MAX) };
	if (toml_scan_begin(text, out, &p.scan) == 0)
		statements_parse(&p);
	int err = p.scan.err;
	toml_scan_end(&p.scan);
	buf_free(&p.path);
	mem_free(p.names.list);
	mem_free(p.names.slots);
	return err;
}

void toml_free(struct toml *toml)
{
	mem_free(toml->entries);
	arena_free(&toml->arena);
	*toml = (struct toml){ .arena = ARENA_INIT(TOML_ARENA_MAX) };
}

const struct toml_entry *toml_find(const struct toml *toml, struct str path)
{
	for (size_t i = 0; i < toml->n; i++)
		if (str_eq(toml->entries[i].path, path))
			return &toml->entries[i];
	return NULL;
}

const char *toml_type_name(enum toml_type type)
{
	switch (type) {
	case TOML_STRING:
		return "a string";
	case TOML_INTEGER:
		return "an integer";
	case TOML_BOOLEAN:
		return "true or false";
	case TOML_ARRAY:
		return "an array";
	case TOML_TABLE:
		return "a table";
	}
	return "";
}

void toml_print_string(struct str s, struct buf *out)
{
	buf_add_byte(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			buf_addf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7F)
			buf_addf(out, "\\u%04X", c);
		else
			buf_add_byte(out, (char)c);
	}
	buf_add_byte(out, '"');
}
