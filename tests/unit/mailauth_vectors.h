/*
 * mailauth_vectors.h - a message, two keys and what dkimpy 1.1 made of them: signatures in each form, by each algorithm.
 */
#ifndef TESTS_UNIT_MAILAUTH_VECTORS_H
#define TESTS_UNIT_MAILAUTH_VECTORS_H

static const char vector_rsa_record[] =
	"v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAor587yHfA8dibKhDb23N4tvDjIppgvcbYQFCPD"
	"GCOYYgFVHQMbpyd+1ZWKJJf8Z/A5Se1JDbfhNtt348TkH0F2ZmocnoCWdikSYxKj+sX72QdTsvr0/iuPFnjWs/4/vAb5SV90zERq"
	"Z1HcN/TfuIPtmM6NZUvKTPNQOVDqOLEDyzNy4LdznX35dhpNKw9hkvS88ducVp++/t5S2SaojZqpVb7U61j0Qr5iIv9Rxy01IDPb"
	"YQV4xVnHMhHKo//uekHwM0/h1CtfpsrrER8p+T4XJdWaivd2G+t/MpFZTtAU9qmfP5bjZxjAGDkpPL1aIqLJAfoxdaeup0p61T6a"
	"O0/QIDAQAB";
static const char vector_ed25519_record[] =
	"v=DKIM1; k=ed25519; p=wiuDZSMTzb07W/QPQjBcu2E+Mx+9lU7uOsfwn7yOi6U=";

static const char vector_rsa_pem[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQCivnzvId8Dx2Js\n"
	"qENvbc3i28OMimmC9xthAUI8MYI5hiAVUdAxunJ37VlYokl/xn8DlJ7UkNt+E223\n"
	"fjxOQfQXZmahyegJZ2KRJjEqP6xfvZB1Oy+vT+K48WeNaz/j+8BvlJX3TMRGpnUd\n"
	"w39N+4g+2Yzo1lS8pM81A5UOo4sQPLM3Lgt3Odffl2Gk0rD2GS9Lzx25xWn77+3l\n"
	"LZJqiNmqlVvtTrWPRCvmIi/1HHLTUgM9thBXjFWccyEcqj/+56QfAzT+HUK1+myu\n"
	"sRHyn5Phcl1ZqK93Yb638ykVlO0BT2qZ8/luNnGMAYOSk8vVoioskB+jF1p66nSn\n"
	"rVPpo7T9AgMBAAECggEACLniBQhx5sf4FQ9onj7q/TD/aTe6tJT/WNIydPvKmb8B\n"
	"VWNPoHr4zEljswbwnfNMuCpt4cPqoPX1uhMAtMmAhwislBw5Xte2R0Ye+L71RSTq\n"
	"6/5CbkoARB5diQ2pHVZQWStEZ0AsfgVK3k+vMcU85vHPRmTHol3L5nHMuj42pKYm\n"
	"p3/nDPZxWSCx6MYE3Lvl3ZVhLYwJTzfDDBnYHprCXmRdBk89t7J/Luuw94JI0L4Q\n"
	"h5rBLX547tv6DaO+EMxZR52ziimk7jWbWn26/WrYLKpJA8k4BryM5CLJeR7SLYKg\n"
	"9cf/fKUeqQoMqcTVJ5JxSNO8hiCiJJZz1qBQulzCQQKBgQDSqsSEgiCGyU1aYI9A\n"
	"szU2LA6jmE7jmJiYsd3LxktDSmf+lruMORB+Wm5UHKgramEayvorW3F+CkQGLIII\n"
	"YjRLgUnnVOBAzp92cAtnDORxhd5Vltd0h0HIT2tt/IZHHPpGUnIZ+4jIWmB/PPRg\n"
	"LjPvThnnB+g1K+rOX1V4QHXsyQKBgQDFw70e3M2snqn4luHYF7UDXGtUw2VqUlyP\n"
	"DfJdRAM8P1c5TPBoy3oiS9IsVPBk6a2lcu6Kxs2Wot+hcyitAl76fp4eUUsPnEd4\n"
	"NF5051iF6JXNVDY3THVfHmQP51nhwG5QZb5kktWiVZDdlznMXwusIiOnpEd1WzG9\n"
	"hDdEhH/ElQKBgHlvusxvfnR0AcUBOFKheyD5EI85MvB7fCs5DJN0gNoPQBc/qGjS\n"
	"VDGhy0ttIXu1XLhnHQJ1Odzf6gptCZ/vjBmiM4nIIWT6Nm29dLU4d08BTgKkaxpf\n"
	"BYqETXcfRAAmMhbrW56iolxrzIhMCMqQl5twt/m3UyGjaT0BM3GYJuIRAoGAaoJg\n"
	"+J4ypyVMpXWdbKRX+NdtdtlFZV22O9VnEpPuqiPy9glZ8RalUJNFPlsAnVi9DL45\n"
	"esRXNSnDB1DeN09vl7lZrzpZEq84TqTlulBefMAm7c7M5DtpezEC8w3Geq8IuoQR\n"
	"ZlkudZ9fxfgMSOVng+1fBoqTccELqOXsXhp+NYECgYB3HMCsEfvKrOjaZ/gvzbXq\n"
	"VoGaXOk4UQFxqVKmh7XMEe6cNn22vtGyewPEnrm6ewGgCyk1rf0MZHBwB1Yh8lv9\n"
	"oLjM7QHsB4szFrB2bJW610u53iXKXZcKBGsCM5obbLiAjsQV+AoFIiMj33m2J/D9\n"
	"AbGGk/kG7OFL0aBCQjxnzw==\n"
	"-----END PRIVATE KEY-----\n";
static const char vector_ed25519_pem[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MC4CAQAwBQYDK2VwBCIEIOD8IJiE+tRMClOMxFBE7/Obd7qyK2CHRonCzP7oOxen\n"
	"-----END PRIVATE KEY-----\n";

/* Fields folded and repeated, blanks of all sorts in the body, empty lines at its end. */
static const char vector_message[] =
	"Received: from a.example by b.example;\r\n"
	" Sun, 22 Nov 2026 09:00:00 +0000\r\n"
	"From:  \"Post,  Master\"\r\n"
	"\t<post@sender.example>\r\n"
	"To: one@rcpt.example\r\n"
	"To: two@rcpt.example\r\n"
	"Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=  \r\n"
	" =?utf-8?q?_aus_dem_test?=\t\r\n"
	"Date: Sun, 22 Nov 2026 09:00:00 +0000\r\n"
	"MIME-Version: 1.0\r\n"
	"\r\n"
	"  two  blanks\there \t\r\n"
	".dot\r\n"
	"\r\n"
	"\r\n"
	"gr\303\274\303\237e\r\n"
	" \r\n"
	"\r\n";

/* Fields to be put on top of the message. */
static const char *const vector_signatures[] = {
	/* rsa-sha256, simple/simple */
	"DKIM-Signature: v=1; a=rsa-sha256; c=simple/simple; d=sender.example;\r\n"
	" i=@sender.example; q=dns/txt; s=rsa; t=1795339847; h=from : to : to :\r\n"
	" subject : date : from : reply-to;\r\n"
	" bh=s8cHhrh21FqAB35TSbyaLYl1raR2ff+rIxjhrCgJGf4=;\r\n"
	" b=mQZTG4dXhp6dYrh0DYyR5dy4duQNWRkaaQkJ5axxlDQX+ipRlHWXHz67LTRFLhv1WF29M\r\n"
	" Z88foxeTGNo2u0wD8PQrgnFyI0ju4RIPTPwPG8qy27fjFz3orscF23dT7p9X7cCmfX9LlNT\r\n"
	" xGRZpypws2aPcUZngkahh/lpfAzuods+Jd9rDkF66nUXnKYlqureR/TLayqIGo5M9DjI5Qe\r\n"
	" GiODYsI39ODE0cMm80jmcoZtfVB9ooLEOC3AQDJYejZl6ekIJEu5OmTD3cY0hJlNC/0w5zE\r\n"
	" KDwDJbueyNBSq36UuCNdgi1CGGmbkZWOeSZtRMCSF8noscT3P/+UZ0VODO+w==\r\n",
	/* rsa-sha256, simple/relaxed */
	"DKIM-Signature: v=1; a=rsa-sha256; c=simple/relaxed; d=sender.example;\r\n"
	" i=@sender.example; q=dns/txt; s=rsa; t=1795339847; h=from : to : to :\r\n"
	" subject : date : from : reply-to;\r\n"
	" bh=c5/FGdXHHlSxS4UOzKbMGuVR7n+ml/LGd+MqUFYTfSU=;\r\n"
	" b=meSqDL8CzVreR+H2ndilSywO41tH5iScUFCZBYQq9XjIM19XFeXnIcPV9XGVrp+eeDQzr\r\n"
	" wz+rIfU1b0vSeEkrXYTIUsVLSnTxvdXgTdPCQrDZUF2zQAfnpgRR76sImZ0QfjD5SYOUGQv\r\n"
	" X+MAZGoqL2BZApjY5AXjmB5+99AGhk/Yu937hDN7UH6FSKr0i5bKdwNsZqBIVlb02dKtBfR\r\n"
	" 44i3OeOzbEYsCdnUkdqs9H5YtIn93+uJtjuIM02cvYIT/RUPXVq9OcTBHtMf578dCU/w185\r\n"
	" xrrOOyH2KA/YwEjeQccrBsAYuCEqnUV9c2LdX7kF8dd0geoxJaUmSL+4sDIw==\r\n",
	/* rsa-sha256, relaxed/simple */
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=sender.example;\r\n"
	" i=@sender.example; q=dns/txt; s=rsa; t=1795339847; h=from : to : to :\r\n"
	" subject : date : from : reply-to;\r\n"
	" bh=s8cHhrh21FqAB35TSbyaLYl1raR2ff+rIxjhrCgJGf4=;\r\n"
	" b=CJQpKT83tRIwLt826dy6m75P6yBxiEGN4Zu2GXW1OHv566vycFmk5gjwhwrUVJV6U0tAY\r\n"
	" Ebjyhpk8BWFjpVjFja6Rn2gBsM+D+oA0DEIHwJmyj79aTVKPXGwRUGN8vyOVnS5htdwaATh\r\n"
	" tIIXSMI+09immr5lYTY0EUCNHHaw6C7UcgMXBJMFNN+ZUTf4tSpLs4VcDwCbIkcDVHuk8sq\r\n"
	" hpfbDgHfWMgkg8UNvdIXGpN0BlMbKWNrNGl5oZ2CZeqMKMmszg96B/rDMnrz6tnls+YqKPR\r\n"
	" Yk5F6WE9cf1YcuNTP1HmWIXFPu6NONiodBRqeHHC2X/oMlR6ODbrh63kINDA==\r\n",
	/* rsa-sha256, relaxed/relaxed */
	"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.example;\r\n"
	" i=@sender.example; q=dns/txt; s=rsa; t=1795339847; h=from : to : to :\r\n"
	" subject : date : from : reply-to;\r\n"
	" bh=c5/FGdXHHlSxS4UOzKbMGuVR7n+ml/LGd+MqUFYTfSU=;\r\n"
	" b=TV8BoyopaKOzxj4Ke3n5ySm+2YHc5WMK2bcGbC02sTlF1I64GdT/tf0NONLYl+eyhwCQ7\r\n"
	" qjr8krmvDiCXj7TpN8QpifdFUPfySBUJRTlWtLGkexgypVv6pN90OLwpCb8ztsMNuvSLKs8\r\n"
	" XtJZTz+J2HKaiOJqWhmC6eHHiIEEAUIy4xzs8S60LRE3UQmYDPobbwz6tylCEuDwidAIidb\r\n"
	" XtImg2/tS2oRruz/O7eFpxGoA6ROfqIPk6YhWduBqvajxi56BKmOzRB19jAeSqmcevMTzoJ\r\n"
	" VnkiHGU7mDzg6OqSpP9o9YaJQzDseYlxBL679JwAi5D6h4nwXHqkrAZ9DEwg==\r\n",
	/* ed25519-sha256, simple/simple */
	"DKIM-Signature: v=1; a=ed25519-sha256; c=simple/simple; d=sender.example;\r\n"
	" i=@sender.example; q=dns/txt; s=ed; t=1795339847; h=from : to : to :\r\n"
	" subject : date : from : reply-to;\r\n"
	" bh=s8cHhrh21FqAB35TSbyaLYl1raR2ff+rIxjhrCgJGf4=;\r\n"
	" b=dggIix7CXMsSoBQOOfBAbQvxXweV91x00kmTzS9lZ+NPaQnybjYeX+JiS5H24lbFxIyvj\r\n"
	" CoUtd1+s5rjaK9FCQ==\r\n",
	/* ed25519-sha256, simple/relaxed */
	"DKIM-Signature: v=1; a=ed25519-sha256; c=simple/relaxed;\r\n"
	" d=sender.example; i=@sender.example; q=dns/txt; s=ed; t=1795339847;\r\n"
	" h=from : to : to : subject : date : from : reply-to;\r\n"
	" bh=c5/FGdXHHlSxS4UOzKbMGuVR7n+ml/LGd+MqUFYTfSU=;\r\n"
	" b=L5pDoQLadF/GvoqTJk1piwIT8Y0YAICE4h3vs4595njYKZf1HSsm1JE4n1q1/ntc4xEBs\r\n"
	" jTrEHpbV8b79nH6CA==\r\n",
	/* ed25519-sha256, relaxed/simple */
	"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/simple;\r\n"
	" d=sender.example; i=@sender.example; q=dns/txt; s=ed; t=1795339847;\r\n"
	" h=from : to : to : subject : date : from : reply-to;\r\n"
	" bh=s8cHhrh21FqAB35TSbyaLYl1raR2ff+rIxjhrCgJGf4=;\r\n"
	" b=Nw0UbV/o2itlIth5NO9WUfcTdnnvxOmqqGYuYCfGBHE9XF2scio5749F1PZG8eZK7AaA9\r\n"
	" vnS01H3Mh7ZT59rDg==\r\n",
	/* ed25519-sha256, relaxed/relaxed */
	"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
	" d=sender.example; i=@sender.example; q=dns/txt; s=ed; t=1795339847;\r\n"
	" h=from : to : to : subject : date : from : reply-to;\r\n"
	" bh=c5/FGdXHHlSxS4UOzKbMGuVR7n+ml/LGd+MqUFYTfSU=;\r\n"
	" b=lC1SVzNCUGRjixQVp0HWPQedy2rWkRDP9pWu7SxFstTLbIaWcdor9slU5L408nAyIy3Er\r\n"
	" xfRq8e0R1KSyXRvAQ==\r\n",
};
enum { VECTORS = sizeof(vector_signatures) / sizeof(*vector_signatures) };

#endif
