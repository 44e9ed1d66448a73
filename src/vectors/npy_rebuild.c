/* SPDX-License-Identifier: Apache-2.0 */
/* What numpy's globals would do with the arguments that numpy writes. */
#include <inttypes.h>

#include "base/mem.h"
#include "vectors/npy_machine.h"

/* The values of a tuple; NULL of an empty one, before which there may have been
 * none at all. */
static const struct value *items_of(const struct machine *machine,
                                    const struct value *tuple)
{
    return tuple->count == 0 ? NULL : machine->items.values + tuple->begin;
}

static bool is_global(const struct value *value, enum global global)
{
    return value->kind == A_GLOBAL && value->number == (int64_t)global;
}

static int make_array(struct machine *machine, const struct value *items,
                      size_t count, struct err *err)
{
    if (count != 3 || !is_global(&items[0], NDARRAY) || machine->has_array)
        return npy_broken(machine, err);
    machine->has_array = true;
    return npy_push(&machine->stack, &(struct value){.kind = AN_ARRAY}, err);
}

/* "O8" or "U12". */
static int make_type(struct machine *machine, const struct value *items,
                     size_t count, struct err *err)
{
    struct value value = {.kind = A_TYPE};
    struct type type = {0};
    const char *text;

    if (count < 1 || items[0].kind != A_TEXT)
        return npy_broken(machine, err);
    text = npy_text_of(machine, &items[0]);
    type.kind = text[0];
    if (type.kind != 'O' && type.kind != 'U')
        return err_set(err, ERR_INVALID,
                       "the pickle has values of type '%.30s'; only str is "
                       "read",
                       text);
    for (text++;
         *text >= '0' && *text <= '9' && type.char_count < NPY_TEXTS_LEN_MAX;
         text++)
        type.char_count = 10 * type.char_count + (*text - '0');
    if (*text != '\0')
        return npy_broken(machine, err);
    if (machine->type_count == machine->type_cap) {
        size_t cap = machine->type_cap == 0 ? 16 : 2 * machine->type_cap;
        struct type *types = mem_resize(machine->types, cap, sizeof *types);

        if (types == NULL)
            return err_set(err, ERR_UNAVAILABLE, "no memory for a pickle");
        machine->types = types;
        machine->type_cap = cap;
    }
    machine->types[machine->type_count] = type;
    value.number = (int64_t)machine->type_count++;
    return npy_push(&machine->stack, &value, err);
}

/* numpy.str_, which is what an element of a numpy array of texts is. */
static int make_scalar(struct machine *machine, const struct value *items,
                       size_t count, struct err *err)
{
    struct value text = {.kind = A_TEXT};
    const struct type *type;
    struct bytes block;
    int rc;

    if (count != 2 || items[0].kind != A_TYPE || items[1].kind != A_BLOCK)
        return npy_broken(machine, err);
    type = &machine->types[items[0].number];
    if (type->kind != 'U' || items[1].count != 4 * (size_t)type->char_count)
        return npy_broken(machine, err);
    block = (struct bytes){machine->file.data + items[1].begin, items[1].count};
    rc = npy_pool_ucs4(machine->pool, block, type->is_big_endian, &text.number,
                       err);
    return rc ? rc : npy_push(&machine->stack, &text, err);
}

int npy_call(struct machine *machine, enum global global,
             const struct value *tuple, struct err *err)
{
    const struct value *items = items_of(machine, tuple);

    switch (global) {
    case RECONSTRUCT:
        return make_array(machine, items, tuple->count, err);
    case DTYPE:
        return make_type(machine, items, tuple->count, err);
    case SCALAR:
        return make_scalar(machine, items, tuple->count, err);
    case ENCODE:
        /* Protocol 2 has no bytes and makes them of text. The one that numpy
         * gives to _reconstruct means nothing. */
        return npy_push(&machine->stack, &(struct value){.kind = A_BLOCK}, err);
    case NDARRAY:
        break;
    }
    return npy_broken(machine, err);
}

/* (version, shape, type, is_fortran, list): the list is in C order always. */
static int build_array(struct machine *machine, const struct value *items,
                       size_t count, struct err *err)
{
    const struct value *shape;
    int64_t product = 1;
    size_t i;

    if (count != 5 || items[1].kind != A_TUPLE || items[2].kind != A_TYPE ||
        items[4].kind != A_LIST || machine->is_built ||
        machine->types[items[2].number].kind != 'O')
        return npy_broken(machine, err);
    shape = items_of(machine, &items[1]);
    for (i = 0; i < items[1].count; i++)
        if (shape[i].kind != A_NUMBER || shape[i].number < 0 ||
            __builtin_mul_overflow(product, shape[i].number, &product))
            return npy_broken(machine, err);
    if (product != machine->pool->count)
        return err_set(err, ERR_CORRUPT,
                       "the array is said to have %" PRId64 " values and has "
                       "%" PRId64,
                       product, machine->pool->count);
    machine->is_built = true;
    return 0;
}

/* (version, byte order, ...). */
static int build_type(struct machine *machine, struct type *type,
                      const struct value *items, size_t count, struct err *err)
{
    if (count < 2 || items[1].kind != A_TEXT)
        return npy_broken(machine, err);
    type->is_big_endian = npy_text_of(machine, &items[1])[0] == '>';
    return 0;
}

int npy_set_state(struct machine *machine, const struct value *tuple,
                  struct err *err)
{
    const struct value *items = items_of(machine, tuple);
    const struct value *target;

    if (machine->stack.count == 0)
        return npy_broken(machine, err);
    target = &machine->stack.values[machine->stack.count - 1];
    if (target->kind == AN_ARRAY)
        return build_array(machine, items, tuple->count, err);
    if (target->kind == A_TYPE)
        return build_type(machine, &machine->types[target->number], items,
                          tuple->count, err);
    return npy_broken(machine, err);
}
