/* Wrong on purpose: the error object is not freed. */
#include <adobe_target.h>
#include <stddef.h>

int main(void) {
    target_client *client;
    char *result = NULL;
    target_status status = target_client_create("{}", &client, &result);
    result = NULL;
    return status == TARGET_ERR_INVALID_OPTIONS && result == NULL ? 0 : 1;
}
