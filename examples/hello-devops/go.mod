module hello-devops

go 1.19
