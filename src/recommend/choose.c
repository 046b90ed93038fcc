#include "recommend/choose.h"

#include <assert.h>

static void swap(float *a, float *b)
{
    float value = *a;

    *a = *b;
    *b = value;
}

static float middle_of(float a, float b, float c)
{
    if (a > b)
        swap(&a, &b);
    if (b > c)
        b = c;
    return a > b ? a : b;
}

/* Hoare's FIND (1961), with the middle of three as the pivot. */
float choose_nth(float *values, uint32_t count, uint32_t index)
{
    int64_t low = 0, high = (int64_t)count - 1, target = index;

    assert(index < count);
    while (low < high) {
        float pivot = middle_of(values[low], values[low + (high - low) / 2], values[high]);
        int64_t left = low, right = high;
        while (left <= right) {
            while (values[left] < pivot)
                left++;
            while (values[right] > pivot)
                right--;
            if (left <= right)
                swap(&values[left++], &values[right--]);
        }
        if (target <= right)
            high = right;
        else if (target >= left)
            low = left;
        else
            break;
    }
    return values[index];
}
