module adobetarget

go 1.19
