/* Where to listen, from any text: none, or a host that fits and a port. */
#include <stdlib.h>
#include <string.h>

#include "ops/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), host[64];
    uint16_t port;

    if (text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (http_read_address(text, host, sizeof host, &port) &&
        (strlen(host) >= strlen(text) || strstr(text, host) == NULL))
        abort();
    free(text);
    return 0;
}
