/* capability.h: what CAPA lists in both states (RFC 2449, 5 and 6: what is there before login is listed after it
 * too). USER, SASL and STLS depend on the connection (RFC 2595, 4); login.c and session.c add them. All of it is
 * true: nothing expires (EXPIRE), and there is no LOGIN-DELAY. */
#ifndef PROTO_POP3_CAPABILITY_H
#define PROTO_POP3_CAPABILITY_H

#define POP3_CAPABILITIES                                                                                              \
	"TOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nEXPIRE NEVER\r\nIMPLEMENTATION Mansio\r\n"
#define POP3_CAPABILITIES_PASSWORD "USER\r\nSASL PLAIN\r\n"
#define POP3_CAPABILITIES_TLS      "STLS\r\n"

#endif
