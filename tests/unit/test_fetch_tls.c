/* SPDX-License-Identifier: Apache-2.0 */
/* A server whose certificate, for 127.0.0.1 alone, is signed by itself. */
#include "test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/fetch.h"
#include "base/file.h"
#include "blob/blob.h"
#include "fake.h"

static SSL_CTX *context;
static char ca_path[FILE_PATH_MAX], endpoint[100], asked[4096];

static void sign_itself(X509 *certificate, EVP_PKEY *key)
{
    X509_EXTENSION *address =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_NAME *name = X509_get_subject_name(certificate);

    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)"olho test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    CHECK_INT(X509_add_ext(certificate, address, -1), 1);
    X509_EXTENSION_free(address);
    CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
}

/* Whether the request in `asked`, len bytes of it, has come whole. */
static bool is_whole(size_t len)
{
    const char *end = strstr(asked, "\r\n\r\n");
    const char *line = strstr(asked, "\r\nContent-Length: ");
    size_t body_len = line == NULL ? 0 : strtoul(line + 18, NULL, 10);

    return end != NULL && len >= (size_t)(end + 4 - asked) + body_len;
}

/* Answers one request over TLS; a client that hangs up is none. */
static void answer(int fd, int nth)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
                               "Connection: close\r\n\r\nhello";
    SSL *tls = SSL_new(context);
    size_t len = 0;
    int got;

    (void)nth;
    SSL_set_fd(tls, fd);
    asked[0] = '\0';
    if (SSL_accept(tls) == 1) {
        while (!is_whole(len) &&
               (got = SSL_read(tls, asked + len,
                               (int)(sizeof asked - 1 - len))) > 0) {
            len += (size_t)got;
            asked[len] = '\0';
        }
        SSL_write(tls, text, sizeof text - 1);
        SSL_shutdown(tls);
    }
    SSL_free(tls);
}

static void begin(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    struct err err = {0};
    FILE *file;

    signal(SIGPIPE, SIG_IGN);
    CHECK(key != NULL);
    sign_itself(certificate, key);
    CHECK_OK(file_join(test_dir(), "ca.pem", ca_path, &err), err);
    file = fopen(ca_path, "w");
    CHECK(file != NULL);
    CHECK_INT(PEM_write_X509(file, certificate), 1);
    fclose(file);
    context = SSL_CTX_new(TLS_server_method());
    CHECK_INT(SSL_CTX_use_certificate(context, certificate), 1);
    CHECK_INT(SSL_CTX_use_PrivateKey(context, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    snprintf(endpoint, sizeof endpoint, "https://%s:%d", "127.0.0.1",
             fake_start(answer));
}

static void end(void)
{
    fake_stop();
    SSL_CTX_free(context);
    context = NULL;
}

/* The body, or the error's text. */
static const char *got(const char *ca_file, bool is_insecure, const char *url)
{
    static char text[400];
    struct fetch_options options = {
        .connection_max = 1, .ca_file = ca_file, .is_insecure = is_insecure};
    struct fetch_request request = {.url = url, .body_len_max = 100};
    struct fetch_reply reply = {0};
    struct fetch *fetch = NULL;
    struct err err = {0};
    int rc;

    CHECK_OK(fetch_new(&options, &fetch, &err), err);
    rc = fetch_run(fetch, &request, &reply, &err);
    snprintf(text, sizeof text, "%s", rc ? err.text : reply.body.data);
    CHECK(rc == 0 || rc == ERR_UNAVAILABLE);
    fetch_reply_release(&reply);
    fetch_free(fetch);
    return text;
}

TEST(fetch_trusts_no_certificate_that_is_not_known)
{
    begin();
    CHECK_HAS(got(NULL, false, endpoint), "is not trusted");
    CHECK_HAS(got("", false, endpoint), "is not trusted");
    CHECK_TEXT(asked, "");
    end();
}

TEST(fetch_trusts_the_authorities_it_was_given)
{
    begin();
    CHECK_TEXT(got(ca_path, false, endpoint), "hello");
    end();
}

TEST(fetch_trusts_no_certificate_of_another_host)
{
    char url[100];

    begin();
    snprintf(url, sizeof url, "https://%s%s", "localhost",
             strrchr(endpoint, ':'));
    CHECK_HAS(got(ca_path, false, url), "is not trusted");
    CHECK_TEXT(asked, "");
    end();
}

TEST(fetch_trusts_anybody_when_told_to)
{
    begin();
    CHECK_TEXT(got(NULL, true, endpoint), "hello");
    end();
}

TEST(fetch_says_that_its_authorities_cannot_be_read)
{
    begin();
    CHECK_HAS(got("no/such/file", false, endpoint), "authorities");
    end();
}

TEST(blob_s3_leaves_the_hash_of_a_file_to_tls)
{
    struct blob_options options = {.url = "s3://photos",
                                   .endpoint = endpoint,
                                   .access_key = "AKID",
                                   .secret_key = "hush",
                                   .ca_file = ca_path};
    struct blob *blob = NULL;
    struct err err = {0};

    begin();
    CHECK_OK(blob_open(&options, &blob, &err), err);
    CHECK_OK(blob_write_file(blob, "k", ca_path, NULL, &err), err);
    CHECK_HAS(asked, "\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n");
    CHECK_OK(blob_write(blob, "k", bytes_of_text("abc"), NULL, &err), err);
    CHECK_HAS(asked, "\r\nx-amz-content-sha256: ba7816bf8f01cfea");
    blob_close(blob);
    end();
}
