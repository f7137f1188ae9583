/* Sets a control of a Video4Linux device while another program streams from it: control DEVICE ID VALUE, the ID in hexadecimal. */
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int main(int count, char **arguments)
{
    struct v4l2_control control;
    int device;
    if (count != 4)
        return 2;
    device = open(arguments[1], O_RDWR);
    control.id = strtoul(arguments[2], NULL, 16);
    control.value = atoi(arguments[3]);
    if (device < 0 || ioctl(device, VIDIOC_S_CTRL, &control) < 0) {
        perror(arguments[1]);
        return 1;
    }
    return 0;
}
