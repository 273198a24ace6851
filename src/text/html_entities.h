/* html_entities.h: the named characters of HTML 4.01 (section 24) and XML's apos, in order of their bytes. Private to
 * html.c. */
#ifndef TEXT_HTML_ENTITIES_H
#define TEXT_HTML_ENTITIES_H

/* name, character */
#define HTML_ENTITY_LIST(X)                                                                                            \
	X("AElig", 0xc6) X("Aacute", 0xc1) X("Acirc", 0xc2) X("Agrave", 0xc0) X("Alpha", 0x391) X("Aring", 0xc5)           \
	X("Atilde", 0xc3) X("Auml", 0xc4) X("Beta", 0x392) X("Ccedil", 0xc7) X("Chi", 0x3a7) X("Dagger", 0x2021)           \
	X("Delta", 0x394) X("ETH", 0xd0) X("Eacute", 0xc9) X("Ecirc", 0xca) X("Egrave", 0xc8) X("Epsilon", 0x395)          \
	X("Eta", 0x397) X("Euml", 0xcb) X("Gamma", 0x393) X("Iacute", 0xcd) X("Icirc", 0xce) X("Igrave", 0xcc)             \
	X("Iota", 0x399) X("Iuml", 0xcf) X("Kappa", 0x39a) X("Lambda", 0x39b) X("Mu", 0x39c) X("Ntilde", 0xd1)             \
	X("Nu", 0x39d) X("OElig", 0x152) X("Oacute", 0xd3) X("Ocirc", 0xd4) X("Ograve", 0xd2) X("Omega", 0x3a9)            \
	X("Omicron", 0x39f) X("Oslash", 0xd8) X("Otilde", 0xd5) X("Ouml", 0xd6) X("Phi", 0x3a6) X("Pi", 0x3a0)             \
	X("Prime", 0x2033) X("Psi", 0x3a8) X("Rho", 0x3a1) X("Scaron", 0x160) X("Sigma", 0x3a3) X("THORN", 0xde)           \
	X("Tau", 0x3a4) X("Theta", 0x398) X("Uacute", 0xda) X("Ucirc", 0xdb) X("Ugrave", 0xd9) X("Upsilon", 0x3a5)         \
	X("Uuml", 0xdc) X("Xi", 0x39e) X("Yacute", 0xdd) X("Yuml", 0x178) X("Zeta", 0x396) X("aacute", 0xe1)               \
	X("acirc", 0xe2) X("acute", 0xb4) X("aelig", 0xe6) X("agrave", 0xe0) X("alefsym", 0x2135) X("alpha", 0x3b1)        \
	X("amp", 0x26) X("and", 0x2227) X("ang", 0x2220) X("apos", 0x27) X("aring", 0xe5) X("asymp", 0x2248)               \
	X("atilde", 0xe3) X("auml", 0xe4) X("bdquo", 0x201e) X("beta", 0x3b2) X("brvbar", 0xa6) X("bull", 0x2022)          \
	X("cap", 0x2229) X("ccedil", 0xe7) X("cedil", 0xb8) X("cent", 0xa2) X("chi", 0x3c7) X("circ", 0x2c6)               \
	X("clubs", 0x2663) X("cong", 0x2245) X("copy", 0xa9) X("crarr", 0x21b5) X("cup", 0x222a) X("curren", 0xa4)         \
	X("dArr", 0x21d3) X("dagger", 0x2020) X("darr", 0x2193) X("deg", 0xb0) X("delta", 0x3b4) X("diams", 0x2666)        \
	X("divide", 0xf7) X("eacute", 0xe9) X("ecirc", 0xea) X("egrave", 0xe8) X("empty", 0x2205) X("emsp", 0x2003)        \
	X("ensp", 0x2002) X("epsilon", 0x3b5) X("equiv", 0x2261) X("eta", 0x3b7) X("eth", 0xf0) X("euml", 0xeb)            \
	X("euro", 0x20ac) X("exist", 0x2203) X("fnof", 0x192) X("forall", 0x2200) X("frac12", 0xbd) X("frac14", 0xbc)      \
	X("frac34", 0xbe) X("frasl", 0x2044) X("gamma", 0x3b3) X("ge", 0x2265) X("gt", 0x3e) X("hArr", 0x21d4)             \
	X("harr", 0x2194) X("hearts", 0x2665) X("hellip", 0x2026) X("iacute", 0xed) X("icirc", 0xee) X("iexcl", 0xa1)      \
	X("igrave", 0xec) X("image", 0x2111) X("infin", 0x221e) X("int", 0x222b) X("iota", 0x3b9) X("iquest", 0xbf)        \
	X("isin", 0x2208) X("iuml", 0xef) X("kappa", 0x3ba) X("lArr", 0x21d0) X("lambda", 0x3bb) X("lang", 0x2329)         \
	X("laquo", 0xab) X("larr", 0x2190) X("lceil", 0x2308) X("ldquo", 0x201c) X("le", 0x2264) X("lfloor", 0x230a)       \
	X("lowast", 0x2217) X("loz", 0x25ca) X("lrm", 0x200e) X("lsaquo", 0x2039) X("lsquo", 0x2018) X("lt", 0x3c)         \
	X("macr", 0xaf) X("mdash", 0x2014) X("micro", 0xb5) X("middot", 0xb7) X("minus", 0x2212) X("mu", 0x3bc)            \
	X("nabla", 0x2207) X("nbsp", 0xa0) X("ndash", 0x2013) X("ne", 0x2260) X("ni", 0x220b) X("not", 0xac)               \
	X("notin", 0x2209) X("nsub", 0x2284) X("ntilde", 0xf1) X("nu", 0x3bd) X("oacute", 0xf3) X("ocirc", 0xf4)           \
	X("oelig", 0x153) X("ograve", 0xf2) X("oline", 0x203e) X("omega", 0x3c9) X("omicron", 0x3bf) X("oplus", 0x2295)    \
	X("or", 0x2228) X("ordf", 0xaa) X("ordm", 0xba) X("oslash", 0xf8) X("otilde", 0xf5) X("otimes", 0x2297)            \
	X("ouml", 0xf6) X("para", 0xb6) X("part", 0x2202) X("permil", 0x2030) X("perp", 0x22a5) X("phi", 0x3c6)            \
	X("pi", 0x3c0) X("piv", 0x3d6) X("plusmn", 0xb1) X("pound", 0xa3) X("prime", 0x2032) X("prod", 0x220f)             \
	X("prop", 0x221d) X("psi", 0x3c8) X("quot", 0x22) X("rArr", 0x21d2) X("radic", 0x221a) X("rang", 0x232a)           \
	X("raquo", 0xbb) X("rarr", 0x2192) X("rceil", 0x2309) X("rdquo", 0x201d) X("real", 0x211c) X("reg", 0xae)          \
	X("rfloor", 0x230b) X("rho", 0x3c1) X("rlm", 0x200f) X("rsaquo", 0x203a) X("rsquo", 0x2019) X("sbquo", 0x201a)     \
	X("scaron", 0x161) X("sdot", 0x22c5) X("sect", 0xa7) X("shy", 0xad) X("sigma", 0x3c3) X("sigmaf", 0x3c2)           \
	X("sim", 0x223c) X("spades", 0x2660) X("sub", 0x2282) X("sube", 0x2286) X("sum", 0x2211) X("sup", 0x2283)          \
	X("sup1", 0xb9) X("sup2", 0xb2) X("sup3", 0xb3) X("supe", 0x2287) X("szlig", 0xdf) X("tau", 0x3c4)                 \
	X("there4", 0x2234) X("theta", 0x3b8) X("thetasym", 0x3d1) X("thinsp", 0x2009) X("thorn", 0xfe)                    \
	X("tilde", 0x2dc) X("times", 0xd7) X("trade", 0x2122) X("uArr", 0x21d1) X("uacute", 0xfa) X("uarr", 0x2191)        \
	X("ucirc", 0xfb) X("ugrave", 0xf9) X("uml", 0xa8) X("upsih", 0x3d2) X("upsilon", 0x3c5) X("uuml", 0xfc)            \
	X("weierp", 0x2118) X("xi", 0x3be) X("yacute", 0xfd) X("yen", 0xa5) X("yuml", 0xff) X("zeta", 0x3b6)               \
	X("zwj", 0x200d) X("zwnj", 0x200c)

#endif
