/* SPDX-License-Identifier: Apache-2.0 */
/* The table of layers. Models, inputs and operations are no rows of it:
 * models/keras_model.c. */
#include <string.h>

#include "models/keras_build.h"

enum { MANY = KERAS_ARGUMENTS_MAX };

/* A row: class, function, most inputs, may stand as an activation. */
static const struct keras_layer_type types[] = {
    {"Conv2D", keras_build_conv, 1, false},
    {"Convolution2D", keras_build_conv, 1, false},
    {"DepthwiseConv2D", keras_build_depthwise, 1, false},
    {"SeparableConv2D", keras_build_separable, 1, false},
    {"Conv2DTranspose", keras_build_conv_transpose, 1, false},
    {"Dense", keras_build_dense, 1, false},
    {"BatchNormalization", keras_build_batch_norm, 1, false},
    {"LayerNormalization", keras_build_layer_norm, 1, false},
    {"Rescaling", keras_build_rescaling, 1, false},
    {"Normalization", keras_build_normalization, 1, false},
    {"ReLU", keras_build_relu, 1, true},
    {"ReLU6", keras_build_relu6, 1, true},
    {"LeakyReLU", keras_build_leaky_relu, 1, true},
    {"PReLU", keras_build_prelu, 1, false},
    {"ELU", keras_build_elu, 1, true},
    {"Softmax", keras_build_softmax, 1, true},
    {"Activation", keras_build_activation, 1, true},
    {"ZeroPadding2D", keras_build_zero_padding, 1, false},
    {"Cropping2D", keras_build_cropping, 1, false},
    {"MaxPooling2D", keras_build_max_pooling, 1, false},
    {"AveragePooling2D", keras_build_average_pooling, 1, false},
    {"GlobalAveragePooling2D", keras_build_global_average, 1, false},
    {"GlobalMaxPooling2D", keras_build_global_max, 1, false},
    {"UpSampling2D", keras_build_upsampling, 1, false},
    {"Flatten", keras_build_flatten, 1, false},
    {"Reshape", keras_build_reshape, 1, false},
    {"Permute", keras_build_permute, 1, false},
    {"Dropout", keras_build_same, 1, false},
    {"SpatialDropout2D", keras_build_same, 1, false},
    {"AlphaDropout", keras_build_same, 1, false},
    {"GaussianNoise", keras_build_same, 1, false},
    {"GaussianDropout", keras_build_same, 1, false},
    {"ActivityRegularization", keras_build_same, 1, false},
    {"Add", keras_build_add, MANY, false},
    {"Subtract", keras_build_subtract, 2, false},
    {"Multiply", keras_build_multiply, MANY, false},
    {"Average", keras_build_average, MANY, false},
    {"Maximum", keras_build_maximum, MANY, false},
    {"Minimum", keras_build_minimum, MANY, false},
    {"Concatenate", keras_build_concatenate, MANY, false},
};

const struct keras_layer_type *keras_layer_find(const char *class_name)
{
    size_t i;

    for (i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].class_name, class_name) == 0)
            return &types[i];
    return NULL;
}

/* Layers that do something in training only. */
int keras_build_same(struct keras_build *build, const struct keras_layer *layer,
                     const struct keras_value *in, int in_count,
                     struct keras_value *out, struct err *err)
{
    (void)build;
    (void)layer;
    (void)in_count;
    (void)err;
    *out = *in;
    return 0;
}
